package deploy

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What the packages bring into /usr/share/doc/epov is told of in its README, and every link leads to something that is there.
func TestInstalledDocuments(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("package/docs.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pages := documents(t, dir)
	pages.follow(t)
	for page := range pages {
		name, err := filepath.Rel(dir, page)
		if err != nil {
			t.Fatal(err)
		}
		if name != "README.md" && !strings.Contains(pages[filepath.Join(dir, "README.md")], "]("+name+")") {
			t.Errorf("the README does not tell of %s", name)
		}
	}
}

// Every link of the repository's own documents leads to something that is there.
func TestDocuments(t *testing.T) { documents(t, "..").follow(t) }

// pages are documents by their paths.
type pages map[string]string

func documents(t *testing.T, dir string) pages {
	t.Helper()
	p := pages{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != dir && strings.HasPrefix(e.Name(), "."): // what is built, and git's own
			return filepath.SkipDir
		case path == filepath.Join("..", "deploy", "package", "README.md"): // its links hold where it is installed
			return nil
		case filepath.Ext(path) == ".md":
			data, err := os.ReadFile(path)
			p[path] = string(data)
			return err
		}
		return nil
	})
	if err != nil || len(p) < 15 {
		t.Fatal(len(p), err)
	}
	return p
}

// follow looks that the links lead somewhere; those to other sites are not looked at, but for the repository's.
func (p pages) follow(t *testing.T) {
	t.Helper()
	link := regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)\s]*))?\)`)
	code := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	headings := map[string]map[string]bool{}
	for page, text := range p {
		headings[page] = anchors(text)
	}
	links := 0
	for page, text := range p {
		for _, l := range link.FindAllStringSubmatch(code.ReplaceAllString(text, "x"), -1) {
			links++
			target := filepath.Join(filepath.Dir(page), l[1])
			if l[1] == "" {
				target = page
			}
			if file, ok := strings.CutPrefix(l[1], "https://github.com/epov-signer/epov/blob/main/"); ok {
				target = filepath.Join("..", file)
			} else if strings.Contains(l[1], "://") {
				continue
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s: %v", page, l[0], err)
			} else if l[2] != "" && !headings[target][l[2]] {
				t.Errorf("%s: %s: no such heading", page, l[0])
			}
		}
	}
	if links < 50 {
		t.Errorf("%d links", links)
	}
}

// anchors are the names by which headings can be linked to.
func anchors(text string) map[string]bool {
	all, dropped := map[string]bool{}, regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := dropped.ReplaceAllString(strings.ToLower(h[1]), "")
		all[strings.ReplaceAll(name, " ", "-")] = true
	}
	return all
}
