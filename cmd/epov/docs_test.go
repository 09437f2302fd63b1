package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/epov-signer/epov/signer/explain"
)

var update = flag.Bool("update", false, "write the outputs and tables of docs/explain.md anew")

// The outputs in docs/explain.md are those of the program, and its table of mistakes is that of package explain.
func TestExplainDocs(t *testing.T) {
	path := absolute("../../docs/explain.md")
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	folders := []string{"../../internal/vectors/testdata/smev-messages/made",
		"../../internal/vectors/testdata/gost/xmldsig", "testdata/docs"}
	for i, dir := range folders {
		folders[i] = absolute(dir)
	}
	t.Chdir(t.TempDir())
	blocks := regexp.MustCompile("(?ms)^```console\n\\$ epov (.*?)\n(.*?)```$")
	count := 0
	got := blocks.ReplaceAllFunc(doc, func(block []byte) []byte {
		count++
		command := string(blocks.FindSubmatch(block)[1])
		args := strings.Fields(command)
		for _, name := range args {
			for _, dir := range folders {
				if data, err := os.ReadFile(filepath.Join(dir, name)); err == nil && !strings.HasPrefix(name, "-") {
					if err := os.WriteFile(name, data, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		var out, errs bytes.Buffer
		if code := run(args, &console{strings.NewReader(""), &out, &errs}); code > exitFailed || errs.Len() > 0 {
			t.Errorf("%s: exit code %d, %s", command, code, errs.String())
		}
		return fmt.Appendf(nil, "```console\n$ epov %s\n%s```", command, out.String())
	})
	if count < 4 {
		t.Errorf("%d outputs", count)
	}
	var table strings.Builder
	table.WriteString("| mistake | what happened |\n|---|---|\n")
	for _, m := range explain.Mistakes {
		fmt.Fprintf(&table, "| `%s` | %s |\n", m.Mistake, strings.ReplaceAll(m.What.English, "|", `\|`))
	}
	got = regexp.MustCompile(`(?m)^\| mistake \| what happened \|\n(\|.*\n)*`).ReplaceAllLiteral(got, []byte(table.String()))
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(got, doc) {
		t.Error("docs/explain.md is not what the program says: go test ./cmd/epov -run TestExplainDocs -update, and read the difference")
	}
}
