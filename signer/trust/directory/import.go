package directory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/trust"
	"github.com/epov-signer/epov/signer/tsl"
)

// Import is what to take in.
type Import struct {
	Name   string // of the source; an earlier one of that name gives way
	Kind   Kind
	Origin string
	Data   []byte
	// Signer must have signed a TSL: the very certificate, or its issuer's. Nil: only with Unsigned, which is for lists that
	// came by a way that is trusted otherwise.
	Signer   *gost.Certificate
	Unsigned bool
	Older    bool // take a TSL that is older than the one before
}

// UnpinnedError says that a TSL is signed, by whom, and that nobody said that this is who must have signed it.
type UnpinnedError struct{ Signer *gost.Certificate }

func (e *UnpinnedError) Error() string {
	return fmt.Sprintf("the list is signed by %s, and that certificate is not pinned", e.Signer.Subject)
}

// Import checks what is to be taken in and puts it into the folder. When it fails the folder is as it was.
func (d *Directory) Import(in Import) (*Source, error) {
	if in.Name == "" || len(in.Name) > 200 || strings.ContainsFunc(in.Name, func(r rune) bool { return r < ' ' }) {
		return nil, fmt.Errorf("%.40q is no name for a source", in.Name)
	}
	s := &Source{Name: in.Name, Kind: in.Kind, Origin: in.Origin, Digest: digest(in.Data), Imported: time.Now().UTC().Truncate(time.Second)}
	if err := s.check(); err != nil {
		return nil, err
	}
	if err := s.examine(in); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(d.path, 0o755); err != nil {
		return nil, err
	}
	unlock, err := d.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	m, err := d.Manifest()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(m.Sources, func(o Source) bool { return o.Name == s.Name })
	switch {
	case i < 0 && len(m.Sources) == maxSources:
		return nil, fmt.Errorf("more than %d sources", maxSources)
	case i < 0:
		m.Sources = append(m.Sources, *s)
	case m.Sources[i].Kind == TSL && s.Date.Before(m.Sources[i].Date) && !in.Older:
		return nil, fmt.Errorf("the list is of %s, older than the one of %s that is there", day(s.Date), day(m.Sources[i].Date))
	default:
		m.Sources[i] = *s
	}
	if err := write(d.file(s), in.Data); err != nil {
		return nil, err
	}
	return s, d.put(m)
}

// Remove takes a source out.
func (d *Directory) Remove(name string) error {
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	m, err := d.Manifest()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(m.Sources, func(s Source) bool { return s.Name == name })
	if i < 0 {
		return fmt.Errorf("there is no source %.40q", name)
	}
	m.Sources = slices.Delete(m.Sources, i, i+1)
	return d.put(m)
}

// examine reads the contents and fills in what the manifest says of them.
func (s *Source) examine(in Import) error {
	if in.Kind != TSL {
		list, err := gost.ParseCertificates(in.Data)
		if err == nil && len(list) == 0 {
			err = errors.New("no certificate in it")
		}
		s.Certificates = len(list)
		return err
	}
	switch {
	case in.Signer != nil:
		if _, err := tsl.Verify(in.Data, trust.New([]*gost.Certificate{in.Signer}, nil), time.Now()); err != nil {
			return err
		}
		s.Signer = in.Signer.Raw
	case !in.Unsigned:
		signer, err := tsl.Verify(in.Data, nil, time.Now())
		if err == nil {
			err = &UnpinnedError{signer}
		}
		return err
	}
	l, err := tsl.Parse(in.Data)
	if err != nil {
		return err
	}
	s.Date, s.Version, s.Authorities = l.Date, l.Version, len(l.Authorities)
	c := l.Certificates()
	s.Certificates = len(c.Accredited)
	if s.Certificates == 0 {
		return errors.New("the list holds no certificate that can be read")
	}
	return nil
}

func day(t time.Time) string {
	if t.IsZero() {
		return "no date"
	}
	return t.UTC().Format(time.RFC3339)
}

// lock makes writers take turns.
func (d *Directory) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(d.path, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // which gives the lock up
}

// put writes the manifest and then removes what it no longer names.
func (d *Directory) put(m *Manifest) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(m); err != nil {
		return err
	}
	if err := write(filepath.Join(d.path, manifestName), text.Bytes()); err != nil {
		return err
	}
	keep := map[string]bool{}
	for i := range m.Sources {
		keep[filepath.Base(d.file(&m.Sources[i]))] = true
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		stem, ext, _ := strings.Cut(e.Name(), ".")
		ours := (&Source{Digest: stem, Kind: Kind(ext)}).check() == nil
		if (ours || strings.HasPrefix(e.Name(), ".new-")) && !keep[e.Name()] {
			if err := os.Remove(filepath.Join(d.path, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// write puts data into the place of what was there before, and makes sure that it stays there.
func write(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
