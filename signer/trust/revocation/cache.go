package revocation

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/trust"
)

// The cache is a folder with one file of octets and one JSON note per list, both named after the task. Each is written beside
// its place and renamed, the octets first, so that a crash leaves the old or the new. Nothing in it is believed more than
// what comes from the network: signatures are checked at use.

// note is the JSON of a cached list.
type note struct {
	Addresses []string `json:"addresses"`
	Source    string   `json:"source"`
	Issuer    []byte   `json:"issuer,omitempty"` // DER of the certificate
	Digest    string   `json:"streebog256"`      // of the octets
}

func (l *Library) cachePath(key, ext string) string {
	h := gost.Streebog256.New()
	h.Write([]byte(key))
	return filepath.Join(l.config.Cache, hex.EncodeToString(h.Sum(nil)[:16])+ext)
}

func digest(data []byte) string {
	h := gost.Streebog256.New()
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}

// save keeps what a task has fetched.
func (l *Library) save(t *task, source string, issuer *gost.Certificate, data []byte) error {
	if l.config.Cache == "" {
		return nil
	}
	n := note{Addresses: t.addresses, Source: source, Digest: digest(data)}
	if issuer != nil {
		n.Issuer = issuer.Raw
	}
	text, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(writeFile(l.cachePath(t.key, ".crl"), data), writeFile(l.cachePath(t.key, ".json"), text))
}

// writeFile puts data into the place of what was there before.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// OpenCache takes up the work of an earlier run; what is damaged is fetched anew. To be called once, before Run.
func (l *Library) OpenCache() error {
	if l.config.Cache == "" {
		return nil
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	defer l.index()
	if err := os.MkdirAll(l.config.Cache, 0o750); err != nil {
		return err
	}
	entries, err := os.ReadDir(l.config.Cache)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := filepath.Join(l.config.Cache, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), ".new-"): // left by a crash
			err = os.Remove(name)
		case filepath.Ext(name) == ".json" && len(l.tasks) < maxTasks:
			err = l.readNote(name)
		default:
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.log.Warn("a cached CRL is not used", "file", name, "error", err)
		}
	}
	return nil
}

func (l *Library) readNote(path string) error {
	text, err := readBounded(path)
	if err != nil {
		return err
	}
	var n note
	if err := json.Unmarshal(text, &n); err != nil {
		return err
	}
	t := &task{addresses: n.Addresses, tried: make(chan struct{}), asked: l.now()}
	if n.Issuer != nil {
		if t.issuer, err = gost.ParseCertificate(n.Issuer); err != nil {
			return err
		}
	}
	if t.key = listKey(n.Addresses, t.issuer); path != l.cachePath(t.key, ".json") {
		return errors.New("the note has another file's name")
	}
	for _, a := range n.Addresses {
		if err := CheckAddress(a); err != nil {
			return err
		}
	}
	if fixed := l.tasks[t.key]; fixed != nil {
		t = fixed
	} else if !l.config.Fetch {
		return nil // nobody follows distribution points any more
	}
	data, err := readBounded(l.cachePath(t.key, ".crl"))
	if err != nil {
		return err
	}
	if digest(data) != n.Digest {
		return errors.New("the octets are not those of the note")
	}
	list, err := gost.ParseRevocationList(data)
	if err == nil {
		err = acceptable(list, t.issuer, nil, l.now())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", n.Source, err)
	}
	now := l.now()
	t.list = &trust.List{RevocationList: list, Source: n.Source}
	// Renewed soon when it is old, and not by every machine at once.
	if t.next = now.Add(l.renewal(now, list.ThisUpdate, list.NextUpdate)); !list.NextUpdate.IsZero() && list.NextUpdate.Before(now) {
		t.next = now
	}
	l.tasks[t.key] = t
	return nil
}
