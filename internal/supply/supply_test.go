package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	mit  = "MIT License\n\nPermission is hereby granted, free of charge, to any person\nobtaining a copy of it. The above copyright notice and this permission notice shall be included."
	bsd2 = "Redistribution and use in source and binary forms, with or without modification, are permitted provided that: 1. 2."
	bsd3 = bsd2 + " 3. Neither the name of the holder nor the names of its contributors may be used."
	mpl  = "Mozilla Public License Version 2.0\n 1.12 \"Secondary License\" means either the GNU General Public License, Version 2.0, " +
		"the GNU Lesser General Public License, Version 2.1, the GNU Affero General Public License, Version 3.0, or any later"
)

func TestClassify(t *testing.T) {
	for text, want := range map[string]string{
		mit:  "MIT",
		bsd2: "BSD-2-Clause",
		bsd3: "BSD-3-Clause",
		mpl:  "MPL-2.0",
		"                              Apache License\n                        Version 2.0, January 2004": "Apache-2.0",
		bsd3 + "\n\n" + mit: "MIT BSD-3-Clause",
		"Permission to use, copy, modify, and distribute this software for any purpose with or without fee is hereby granted": "ISC",
		"GNU GENERAL PUBLIC LICENSE\nVersion 3":                     "GPL!",
		"GNU AFFERO GENERAL PUBLIC LICENSE":                         "AGPL!",
		"GNU LESSER GENERAL PUBLIC LICENSE":                         "LGPL!",
		mit + "\n\"Commons Clause\" License Condition v1.0":         "Commons Clause MIT!",
		"The whole is under the GNU General Public License. " + mpl: "GPL MPL-2.0!",
		"All rights reserved.":                                      "",
	} {
		licences, forbidden := classify(text)
		got := strings.Join(licences, " ")
		if forbidden {
			got += "!"
		}
		if got != want {
			t.Errorf("%.40q: %q, want %q", text, got, want)
		}
	}
}

func TestLicencesIn(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"two":     {map[string]string{"LICENSE": bsd3, "LICENCE.MIT": mit, "license.go": "package license"}, "BSD-3-Clause MIT"},
		"none":    {map[string]string{"README": mit}, "no licence in the module"},
		"unknown": {map[string]string{"COPYING": "Do what you want."}, "no licence that is known"},
		"refused": {map[string]string{"LICENSE": mit, "COPYING": "GNU General Public License"}, "COPYING is GPL"},
	} {
		dir := t.TempDir()
		for file, text := range tc.files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		licences, err := licencesIn(dir)
		got := strings.Join(licences, " ")
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, tc.want) {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

// What the document about dependencies lacks is told.
func TestDescribed(t *testing.T) {
	text := "| module | why |\n|---|---|\n| `example.org/a/pkg` | because | MIT |\n\nThrough it `example.org/b`.\n"
	rows := tableRows(text)
	for _, tc := range []struct {
		p        part
		licences []string
		want     string
	}{
		{part{path: "example.org/a", direct: true}, []string{"MIT"}, ""},
		{part{path: "example.org/a", direct: true}, []string{"Apache-2.0"}, "does not say that example.org/a is under Apache-2.0"},
		{part{path: "example.org/c", direct: true}, []string{"MIT"}, "no line for example.org/c"},
		{part{path: "example.org/b", linked: true}, []string{"MIT"}, ""},
		{part{path: "example.org/d", linked: true}, []string{"MIT"}, "does not name example.org/d"},
		{part{path: "example.org/b/v2", linked: true}, []string{"MIT"}, ""},
		{part{path: "example.org/bc", linked: true}, []string{"MIT"}, "does not name example.org/bc"},
		{part{path: "example.org/e"}, []string{"MIT"}, ""},
	} {
		got := strings.Join(described(tc.p, tc.licences, rows, text), "; ")
		if !strings.Contains(got, tc.want) || tc.want == "" && got != "" {
			t.Errorf("%+v: %q", tc.p, got)
		}
	}
}

// The list names the program, the standard library and every module, each with version and licence, and is the same each time.
func TestBOM(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "LICENSE"), []byte(bsd3), 0o600); err != nil {
		t.Fatal(err)
	}
	info := &debug.BuildInfo{
		GoVersion: "go1.26.8", Path: "example.org/m/cmd/p", Main: debug.Module{Path: "example.org/m", Version: "(devel)"},
		Deps:     []*debug.Module{{Path: "example.org/a", Version: "v1.2.3", Sum: "h1:x="}},
		Settings: []debug.BuildSetting{{Key: "GOARCH", Value: "arm64"}, {Key: "-ldflags", Value: "-w"}},
	}
	make := func() string {
		b, err := newBOM(info, []part{{path: "example.org/a", version: "v1.2.3", dir: dir}}, [32]byte{1, 2, 0xff},
			time.Unix(1_700_000_000, 0), "1.0.0")
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Components) != 2 || !slices.Equal(b.Dependencies[0].DependsOn,
			[]string{"pkg:golang/example.org/a@v1.2.3", "pkg:golang/std@1.26.8"}) {
			t.Errorf("%+v", b)
		}
		out, err := json.MarshalIndent(b, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	text := make()
	for _, want := range []string{`"specVersion": "1.5"`, `"2023-11-14T22:13:20Z"`,
		`"pkg:golang/example.org/m@1.0.0#cmd/p"`, `"id": "BSD-3-Clause"`, `"h1:x="`, `"go:GOARCH"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing from %s", want, text)
		}
	}
	if !regexp.MustCompile(`"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"`).MatchString(text) {
		t.Error(text)
	}
	if strings.Contains(text, "ldflags") || make() != text {
		t.Error("the list has too much in it, or changes")
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"licences"}, {"sell", "x"}} {
		if err := run(args); err == nil || !strings.Contains(err.Error(), "usage") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
