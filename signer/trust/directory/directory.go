// Package directory keeps trust in a folder: lists of accredited authorities and files of certificates, with a manifest that
// says where each came from and who signed it. The tool epov fills it, the daemon reads it and notices changes.
//
// Contents are named after their digest and never change; the manifest is written beside its place and renamed. A reader
// therefore sees the folder as it was before an import or as it is after, at whatever moment either is killed.
package directory

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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

// Kind is what a source gives.
type Kind string

const (
	TSL           Kind = "tsl"           // the list of accredited authorities
	Anchors       Kind = "anchors"       // certificates to trust
	Intermediates Kind = "intermediates" // certificates to build paths with
)

const (
	format       = "epov-trust/1"
	manifestName = "manifest.json"
	maxManifest  = 4 << 20
	maxSources   = 256
)

// Source is one thing that was imported.
type Source struct {
	Name         string    `json:"name"`
	Kind         Kind      `json:"kind"`
	Origin       string    `json:"origin"`      // the file or address it came from
	Digest       string    `json:"streebog256"` // of the octets, hexadecimal; also the name of the file
	Imported     time.Time `json:"imported"`
	Signer       []byte    `json:"signer,omitempty"` // of a TSL: DER of the certificate that must sign it; absent: it need not be signed
	Date         time.Time `json:"date,omitzero"`    // of a TSL
	Version      string    `json:"version,omitempty"`
	Authorities  int       `json:"authorities,omitempty"`
	Certificates int       `json:"certificates"`
}

// Manifest lists the sources.
type Manifest struct {
	Format  string   `json:"format"`
	Sources []Source `json:"sources"`
}

// Directory is the folder. Several processes may use it at once; those that write take turns.
type Directory struct{ path string }

// At names a folder, which an import makes when it is absent.
func At(path string) *Directory { return &Directory{path} }

func (d *Directory) file(s *Source) string { return filepath.Join(d.path, s.Digest+"."+string(s.Kind)) }

// Manifest reads what there is. A folder that is empty or absent has no sources.
func (d *Directory) Manifest() (*Manifest, error) {
	m := &Manifest{Format: format}
	data, err := os.ReadFile(filepath.Join(d.path, manifestName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m, nil
	case err != nil:
		return nil, err
	case len(data) > maxManifest:
		return nil, fmt.Errorf("%s: the manifest is too large", d.path)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(m); err != nil {
		return nil, fmt.Errorf("%s: the manifest: %w", d.path, err)
	}
	if m.Format != format {
		return nil, fmt.Errorf("%s: the manifest is of the format %.40q, not %q", d.path, m.Format, format)
	}
	for i := range m.Sources {
		if err := m.Sources[i].check(); err != nil {
			return nil, fmt.Errorf("%s: the manifest: %w", d.path, err)
		}
	}
	return m, nil
}

// check refuses what could lead out of the folder.
func (s *Source) check() error {
	if raw, err := hex.DecodeString(s.Digest); err != nil || len(raw) != 32 || strings.ToLower(s.Digest) != s.Digest {
		return fmt.Errorf("source %.40q has no digest", s.Name)
	}
	if !slices.Contains([]Kind{TSL, Anchors, Intermediates}, s.Kind) {
		return fmt.Errorf("source %.40q is of the unknown kind %.40q", s.Name, s.Kind)
	}
	return nil
}

// Stamp tells states of the folder apart without reading it; empty when there is no manifest.
func (d *Directory) Stamp() string {
	info, err := os.Stat(filepath.Join(d.path, manifestName))
	if err != nil {
		return ""
	}
	stamp := fmt.Sprint(info.Size(), info.ModTime().UnixNano())
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		stamp += fmt.Sprint(" ", s.Ino)
	}
	return stamp
}

// Contents is what the sources say together.
type Contents struct {
	Manifest     *Manifest
	Certificates trust.Certificates
	Lists        []*tsl.List
	CRLs         map[string][]string // addresses of CRLs, by the DER of their issuer's certificate
}

// Load reads everything. It must all be there and be what was imported.
func (d *Directory) Load() (*Contents, error) {
	for again := 2; ; again-- {
		c, err := d.load()
		// Another process may have changed the folder in between, and removed what it no longer needs.
		if errors.Is(err, fs.ErrNotExist) && again > 0 {
			continue
		}
		return c, err
	}
}

func (d *Directory) load() (*Contents, error) {
	m, err := d.Manifest()
	if err != nil {
		return nil, err
	}
	c := &Contents{
		Manifest: m, CRLs: map[string][]string{},
		Certificates: trust.Certificates{Accredited: map[string][]trust.Period{}},
	}
	for i := range m.Sources {
		s := &m.Sources[i]
		data, err := os.ReadFile(d.file(s))
		if err != nil {
			return nil, err
		}
		if digest(data) != s.Digest {
			return nil, fmt.Errorf("%s: not the octets that were imported", d.file(s))
		}
		if err := c.add(s, data); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return c, nil
}

func (c *Contents) add(s *Source, data []byte) error {
	if s.Kind != TSL {
		list, err := gost.ParseCertificates(data)
		if err != nil {
			return err
		}
		if s.Kind == Anchors {
			c.Certificates.Anchors = append(c.Certificates.Anchors, list...)
		} else {
			c.Certificates.Intermediates = append(c.Certificates.Intermediates, list...)
		}
		return nil
	}
	l, err := tsl.Parse(data)
	if err != nil {
		return err
	}
	c.Lists = append(c.Lists, l)
	listed := l.Certificates()
	c.Certificates.Anchors = append(c.Certificates.Anchors, listed.Anchors...)
	c.Certificates.Intermediates = append(c.Certificates.Intermediates, listed.Intermediates...)
	for der, periods := range listed.Accredited {
		c.Certificates.Accredited[der] = append(c.Certificates.Accredited[der], periods...)
	}
	for _, a := range l.Authorities {
		for _, k := range a.Keys {
			for _, cert := range k.Certificates {
				c.CRLs[string(cert.Raw)] = append(c.CRLs[string(cert.Raw)], k.CRLs...)
			}
		}
	}
	return nil
}

func digest(data []byte) string {
	h := gost.Streebog256.New()
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}
