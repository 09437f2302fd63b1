package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestBeyond(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	narrow := &Domain{Grants: []Grant{{dir, Read}, {"/var/lib/x", Write}}, Connect: []uint16{443}}
	for name, test := range map[string]struct {
		other Domain
		want  []string
	}{
		"itself":          {*narrow, nil},
		"below":           {Domain{Grants: Grants(Read, file, dir+"/")}, nil},
		"a stronger one":  {Domain{Grants: Grants(Write, file)}, []string{file}},
		"weaker":          {Domain{Grants: Grants(Read, "/var/lib/x/y")}, nil},
		"above":           {Domain{Grants: Grants(Read, filepath.Dir(dir))}, []string{filepath.Dir(dir)}},
		"a like name":     {Domain{Grants: Grants(Write, "/var/lib/xy", "/var/lib/x/../z")}, []string{"/var/lib/xy", "/var/lib/x/../z"}},
		"not there":       {Domain{Grants: Grants(Read, "/no/such/file")}, nil},
		"to be made":      {Domain{Grants: Grants(Write, "/no/such/folder", "/var/lib/x/new")}, []string{"/no/such/folder"}},
		"a port":          {Domain{Connect: []uint16{443, 80, 80}}, []string{"TCP port 80"}},
		"all ports":       {Domain{Anywhere: true}, []string{"any TCP port"}},
		"nothing further": {Domain{Bind: []uint16{1}}, nil},
	} {
		if got := narrow.Beyond(&test.other); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	if got := (&Domain{Anywhere: true}).Beyond(&Domain{Anywhere: true, Connect: []uint16{5}}); got != nil {
		t.Error(got)
	}
}
