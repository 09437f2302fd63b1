// Package vectors finds the test vectors.
//
// Vectors that were generated for this project live in testdata and are always there. Vectors that others made are read
// in place from the folder that EPOV_VECTORS names, ../shared/vectors beside the module by default; a test that needs
// them skips, and says so, when the folder is absent. [Outcome] notes what became of one, for docs/conformance.md.
package vectors

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Time is the validation time of every certificate path in the vectors: 2026-11-01T00:00:00Z.
const Time = 1793491200

func here() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}

// Path returns the path of a vector generated for this project, such as "gost/sign.json".
func Path(name string) string {
	return filepath.Join(here(), "testdata", filepath.FromSlash(name))
}

// Read returns a vector generated for this project and ends the test when it is missing.
func Read(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(Path(name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// Seed gives vectors generated for this project, by patterns such as "gost/xmldsig/3*.xml", to a fuzz target of documents.
func Seed(f *testing.F, patterns ...string) {
	f.Helper()
	for _, pattern := range patterns {
		files, err := filepath.Glob(Path(pattern))
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: no files, %v", pattern, err)
		}
		for _, file := range files {
			doc, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(doc)
		}
	}
}

// JSON decodes a vector generated for this project into v.
func JSON(tb testing.TB, name string, v any) {
	tb.Helper()
	if err := json.Unmarshal(Read(tb, name), v); err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
}

// TSV returns the rows of a tab-separated vector index, each as a map from the column's name, read by read
// (Read or ReadOthers).
func TSV(tb testing.TB, read func(testing.TB, string) []byte, name string) []map[string]string {
	tb.Helper()
	lines := strings.Split(strings.TrimRight(string(read(tb, name)), "\n"), "\n")
	head := strings.Split(lines[0], "\t")
	var rows []map[string]string
	for _, line := range lines[1:] {
		row := make(map[string]string)
		for i, cell := range strings.Split(line, "\t") {
			if i < len(head) {
				row[head[i]] = cell
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// Others returns the folder of the vectors that others made, and skips the test when it is absent.
func Others(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv("EPOV_VECTORS")
	if dir == "" {
		dir = filepath.Join(here(), "..", "..", "..", "shared", "vectors")
	}
	if _, err := os.Stat(dir); err != nil {
		tb.Skipf("SKIPPED: vectors made by others are absent (%s); set EPOV_VECTORS", dir)
	}
	return dir
}

// ReadOthers returns a vector made by others, such as "smev-messages/official/AckRequest.xml"; it skips the test when the
// folder is absent and ends it when only the file is.
func ReadOthers(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(Others(tb), filepath.FromSlash(name)))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}
