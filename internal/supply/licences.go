package main

import (
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// part is a module that something is made of.
type part struct {
	path, version, dir string
	direct             bool // go.mod names it for the sake of our own code
	linked             bool // the programs contain it; else tests or tools
}

// marks tell licences by words that their texts have in common, once white space and case are taken away. The first that fits a
// part of the text counts, so those that forbid come first.
var marks = []struct {
	licence string
	allowed bool
	words   *regexp.Regexp
}{
	{"AGPL", false, regexp.MustCompile(`gnu affero general public license`)},
	{"LGPL", false, regexp.MustCompile(`gnu (lesser|library) general public license`)},
	{"GPL", false, regexp.MustCompile(`gnu general public license`)},
	{"SSPL", false, regexp.MustCompile(`server side public license`)},
	{"BUSL", false, regexp.MustCompile(`business source license`)},
	{"Commons Clause", false, regexp.MustCompile(`commons clause`)},
	{"MPL-2.0", true, regexp.MustCompile(`mozilla public license,? (version|v\.) 2\.0`)},
	{"Apache-2.0", true, regexp.MustCompile(`apache license,? version 2\.0`)},
	{"MIT", true, regexp.MustCompile(`permission is hereby granted, free of charge, to any person obtaining a copy.*the above copyright notice and this permission notice`)},
	{"ISC", true, regexp.MustCompile(`permission to use, copy, modify,? and(/or)? distribute this software for any purpose with or without fee is hereby granted`)},
	{"BSD-3-Clause", true, regexp.MustCompile(`redistribution and use in source and binary forms.*(neither the names? of|the names? of .* may not be used to endorse)`)},
	{"BSD-2-Clause", true, regexp.MustCompile(`redistribution and use in source and binary forms`)},
}

// secondary is where the text of MPL-2.0 (1.12) speaks of licences that it goes together with: nothing of theirs applies by that.
var secondary = regexp.MustCompile(`.secondary license. means either the gnu general public license, version 2\.0, ` +
	`the gnu lesser general public license, version 2\.1, the gnu affero general public license, version 3\.0, or any later`)

// classify names all licences of a text. Of the licences of the BSD the stricter one counts.
func classify(text string) (licences []string, forbidden bool) {
	plain := secondary.ReplaceAllString(strings.ToLower(strings.Join(strings.FieldsFunc(text, unicode.IsSpace), " ")), "")
	for _, m := range marks {
		if !m.words.MatchString(plain) || m.licence == "BSD-2-Clause" && slices.Contains(licences, "BSD-3-Clause") {
			continue
		}
		licences = append(licences, m.licence)
		forbidden = forbidden || !m.allowed
	}
	return licences, forbidden
}

var licenceFile = regexp.MustCompile(`(?i)^(un)?licen[cs]e|^copying|-licen[cs]e`)

// licencesIn reads the licence files of a module's folder.
func licencesIn(dir string) (licences []string, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if f.IsDir() || !licenceFile.MatchString(f.Name()) || strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), ".docs") {
			continue // ".docs": of the documentation alone
		}
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, err
		}
		found, forbidden := classify(string(text))
		switch {
		case forbidden:
			return found, fmt.Errorf("%s is %s, which does not go with this project's", f.Name(), strings.Join(found, " and "))
		case len(found) == 0:
			return nil, fmt.Errorf("%s is no licence that is known here", f.Name())
		}
		licences = append(licences, found...)
	}
	if len(licences) == 0 {
		return nil, errors.New("there is no licence in the module")
	}
	slices.Sort(licences)
	return slices.Compact(licences), nil
}

// checkLicences says what is wrong with the licences of all parts, and with what the document says of them.
func checkLicences(document string, tools []string, out io.Writer) error {
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	parts, err := listed()
	if err != nil {
		return err
	}
	rows := tableRows(string(text))
	var wrong []string
	count := map[string]int{}
	for _, p := range parts {
		licences, err := licencesIn(p.dir)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s %s: %s", p.path, p.version, err))
			continue
		}
		count[strings.Join(licences, " and ")]++
		wrong = append(wrong, described(p, licences, rows, string(text))...)
	}
	for _, r := range rows {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.direct && r.of(p.path) }) {
			wrong = append(wrong, fmt.Sprintf("%s has a line for %s, which go.mod does not require", document, r.path))
		}
	}
	for _, tool := range tools {
		ofTool, err := linkedInto(tool)
		if err != nil {
			return err
		}
		for _, p := range ofTool {
			if licences, err := licencesIn(p.dir); err != nil {
				wrong = append(wrong, fmt.Sprintf("%s: %s %s: %s", tool, p.path, p.version, err))
			} else {
				count["tools: "+strings.Join(licences, " and ")]++
			}
		}
	}
	if len(wrong) > 0 {
		return errors.New("\n" + strings.Join(wrong, "\n"))
	}
	var counts []string
	for licence, n := range count {
		counts = append(counts, fmt.Sprintf("%s: %d", licence, n))
	}
	slices.Sort(counts)
	fmt.Fprintf(out, "licences of modules: %s\n", strings.Join(counts, ", "))
	return nil
}

// described says what the document lacks about a part: a line of a table for what go.mod requires directly, and at least its
// name and licence for what comes with it.
func described(p part, licences []string, rows []row, text string) (wrong []string) {
	if !p.direct {
		if p.linked && !named(p.path, text) {
			wrong = append(wrong, fmt.Sprintf("docs/dependencies.md does not name %s (%s), which is linked", p.path,
				strings.Join(licences, " and ")))
		}
		return wrong
	}
	i := slices.IndexFunc(rows, func(r row) bool { return r.of(p.path) })
	if i < 0 {
		return []string{fmt.Sprintf("docs/dependencies.md has no line for %s (%s)", p.path, strings.Join(licences, " and "))}
	}
	for _, licence := range licences {
		if !strings.Contains(rows[i].text, licence) {
			wrong = append(wrong, fmt.Sprintf("docs/dependencies.md does not say that %s is under %s", p.path, licence))
		}
	}
	return wrong
}

// named reports whether the document names a module, without its major version, or the one that it is a part of.
func named(module, text string) bool {
	for name := majorVersion.ReplaceAllString(module, ""); strings.Count(name, "/") > 0; name = name[:strings.LastIndexByte(name, '/')] {
		if strings.Contains(text, "`"+name+"`") {
			return true
		}
	}
	return false
}

// row is a line of the document's tables of modules.
type row struct{ path, text string }

var rowForm = regexp.MustCompile("^\\| `([^`]+)` \\|(.*)$")

func tableRows(text string) (rows []row) {
	for line := range strings.Lines(text) {
		if m := rowForm.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			rows = append(rows, row{m[1], m[2]})
		}
	}
	return rows
}

// of reports whether the line is about a module, or about a package of it.
func (r row) of(module string) bool {
	return r.path == module || strings.HasPrefix(r.path, module+"/") || r.path == majorVersion.ReplaceAllString(module, "")
}

var majorVersion = regexp.MustCompile(`/v[0-9]+$`)

// listed are the modules of the packages that this module is built and tested from, for both architectures.
func listed() ([]part, error) {
	byPath := map[string]*part{}
	for _, arch := range []string{"amd64", "arm64"} {
		for _, packages := range [][]string{{"-test", "./..."}, {"./cmd/..."}} {
			// A library's packages are linked by its users, and counted as linked: all but tests of ours.
			cmd := exec.Command("go", append([]string{"list", "-deps", "-json=ImportPath,Module"}, packages...)...)
			cmd.Env = append(os.Environ(), "GOARCH="+arch, "GOOS=linux", "CGO_ENABLED=1")
			cmd.Stderr = os.Stderr
			data, err := cmd.Output()
			if err != nil {
				return nil, fmt.Errorf("go list: %w", err)
			}
			for dec := json.NewDecoder(strings.NewReader(string(data))); ; {
				var p struct {
					Module *struct {
						Path, Version, Dir string
						Main, Indirect     bool
						Replace            *struct{ Path, Version, Dir string }
					}
				}
				if err := dec.Decode(&p); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					return nil, err
				}
				m := p.Module
				if m == nil || m.Main { // of the standard library, or ours
					continue
				}
				if m.Replace != nil {
					return nil, fmt.Errorf("%s is replaced by %s: whose licence counts is not clear", m.Path, m.Replace.Path)
				}
				if byPath[m.Path] == nil {
					byPath[m.Path] = &part{path: m.Path, version: m.Version, dir: m.Dir, direct: !m.Indirect}
				}
				byPath[m.Path].linked = byPath[m.Path].linked || packages[0] != "-test"
			}
		}
	}
	var out []part
	for _, p := range byPath {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b part) int { return strings.Compare(a.path, b.path) })
	return out, nil
}

// linkedInto are the modules of a program that was built from the module cache.
func linkedInto(program string) ([]part, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		return nil, err
	}
	var out []part
	for _, m := range append(info.Deps, &info.Main) {
		if m.Version == "(devel)" || m.Path == "" {
			continue
		}
		if m.Replace != nil {
			m = m.Replace
		}
		out = append(out, part{path: m.Path, version: m.Version,
			dir: filepath.Join(strings.TrimSpace(string(cache)), escaped(m.Path)+"@"+escaped(m.Version))})
	}
	return out, nil
}

// escaped is how the module cache writes names: an exclamation mark and the small letter for each capital.
func escaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsUpper(r) {
			b.WriteByte('!')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}
