package revocation

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/epov-signer/epov/internal/testpki"
)

func TestStatus(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	if s := open(t, Config{}).Status(); s != (Status{}) {
		t.Errorf("nothing: %+v", s)
	}
	old := now.Add(-48 * time.Hour).Truncate(time.Second)
	for name, list := range map[string]testpki.CRL{"current.crl": {}, "old.crl": {ThisUpdate: old, NextUpdate: now.Add(-time.Hour)}} {
		if err := os.WriteFile(filepath.Join(dir, name), newCA(t).NewCRL(t, list), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	site := newSite(t)
	l := open(t, Config{Folders: []string{dir}, Addresses: []string{site.URL + "/absent.crl"}, PrivateAddresses: true})
	if s := l.Status(); s.Lists != 2 || s.Overdue != 1 || !s.Oldest.Equal(old) || s.Failing != 0 {
		t.Errorf("two lists: %+v", s)
	}
	if err := l.FetchNow(t.Context()); err == nil {
		t.Error("what is not there was fetched")
	}
	if s := l.Status(); s.Failing != 1 {
		t.Errorf("after a failure: %+v", s)
	}
}
