package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/trust/directory"
	"github.com/epov-signer/epov/signer/trust/revocation"
	"github.com/epov-signer/epov/signer/tsl"
)

type trustCmd struct {
	Import trustImportCmd `cmd:"" help:"Take a list of accredited authorities, or certificates, into the trust directory."`
	Update trustUpdateCmd `cmd:"" help:"Fetch again what was imported, under the same pins."`
	List   trustListCmd   `cmd:"" help:"List what was imported, or the authorities."`
	Remove trustRemoveCmd `cmd:"" help:"Take a source out of the trust directory."`
}

// inDirectory names the folder that epovd has in trust.directory.
type inDirectory struct {
	Directory string `default:"/var/lib/epovd/trust" placeholder:"DIR" help:"The trust directory, which epovd has in trust.directory. Default: /var/lib/epovd/trust."`
}

func (d *inDirectory) open() *directory.Directory { return directory.At(d.Directory) }

type trustImportCmd struct {
	inDirectory
	Name     string `placeholder:"NAME" help:"Name of the source; an earlier one of that name gives way. Default: tsl, or the file's name."`
	Kind     string `enum:",tsl,anchors,intermediates" default:"" placeholder:"KIND" help:"tsl (the default for XML), anchors or intermediates."`
	Signer   string `placeholder:"FILE" help:"Certificate that must have signed the list, or its issuer's."`
	Pin      string `name:"signer-fingerprint" placeholder:"HEX" help:"Instead of --signer: Streebog-256 of the DER of the certificate in the list's signature."`
	Unsigned bool   `help:"Take a list whose signature nobody checks: only when it came by a way that you trust."`
	Older    bool   `help:"Take a list that is older than the one before."`
	Source   string `arg:"" name:"file-or-url" help:"File, or address of HTTP or HTTPS."`
}

func (c *trustImportCmd) Run(ctx context.Context, con *console) error {
	in := directory.Import{Name: c.Name, Kind: directory.Kind(c.Kind), Unsigned: c.Unsigned, Older: c.Older}
	var err error
	if in.Origin, in.Data, err = fetchSource(ctx, con, c.Source); err != nil {
		return err
	}
	if in.Kind == "" {
		if !bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(in.Data, []byte("\ufeff")), " \t\r\n"), []byte("<")) {
			return usagef("%s is not XML: say with --kind whether its certificates are anchors or intermediates", c.Source)
		}
		in.Kind = directory.TSL
	}
	if in.Kind != directory.TSL && (c.Signer != "" || c.Pin != "" || c.Unsigned || c.Older) {
		return usagef("--signer, --signer-fingerprint, --unsigned and --older are for lists of authorities")
	}
	if in.Name == "" {
		if in.Name = string(directory.TSL); in.Kind != directory.TSL {
			in.Name = filepath.Base(c.Source)
		}
	}
	if in.Signer, err = c.signer(con, in.Data); err != nil {
		return err
	}
	return c.take(con, in)
}

// signer is the certificate that is pinned; nil when none is.
func (c *trustImportCmd) signer(con *console, data []byte) (*gost.Certificate, error) {
	given := 0
	for _, set := range []bool{c.Signer != "", c.Pin != "", c.Unsigned} {
		if set {
			given++
		}
	}
	switch {
	case given > 1:
		return nil, usagef("--signer, --signer-fingerprint and --unsigned exclude each other")
	case c.Signer != "":
		return readCertificate(con, c.Signer)
	case c.Pin != "":
		signer, err := tsl.Verify(data, nil, time.Now())
		if err != nil {
			return nil, err
		}
		if have := signer.FingerprintString(); !strings.EqualFold(have, strings.NewReplacer(":", "", " ", "").Replace(c.Pin)) {
			return nil, fmt.Errorf("the list is signed by %s, whose fingerprint is %s", signer.Subject, have)
		}
		return signer, nil
	}
	return nil, nil
}

func (d *inDirectory) take(con *console, in directory.Import) error {
	s, err := d.open().Import(in)
	if unpinned, ok := errors.AsType[*directory.UnpinnedError](err); ok {
		return usagef("%w; its fingerprint is %s: compare it with what its owner publishes, then give it as --signer-fingerprint, or the certificate as --signer",
			err, unpinned.Signer.FingerprintString())
	}
	if errors.Is(err, tsl.ErrUnsigned) && in.Signer == nil {
		return usagef("%w; --unsigned takes it all the same", err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(con.out, "%s: %s\n", printable(s.Name), describeSource(s))
	return err
}

func describeSource(s *directory.Source) string {
	out := plural(s.Certificates, "certificate")
	if s.Kind == directory.TSL {
		out += " of " + plural(s.Authorities, "authority")
		out = strings.Replace(out, "authoritys", "authorities", 1)
		if !s.Date.IsZero() {
			out += ", of " + s.Date.UTC().Format(time.RFC3339)
		}
		if s.Signer == nil {
			out += ", signature not checked"
		}
	}
	return out
}

// fetchSource returns the octets, and where they can be had again.
func fetchSource(ctx context.Context, con *console, source string) (origin string, data []byte, err error) {
	if strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://") {
		data, err = revocation.Get(ctx, source, tsl.MaxSize)
		return source, data, err
	}
	if data, err = con.read(source); err != nil || source == "-" {
		return source, data, err
	}
	origin, err = filepath.Abs(source)
	return origin, data, err
}

// readCertificate reads a file with one certificate.
func readCertificate(con *console, name string) (*gost.Certificate, error) {
	data, err := con.read(name)
	if err != nil {
		return nil, err
	}
	list, err := gost.ParseCertificates(data)
	if err == nil && len(list) != 1 {
		err = fmt.Errorf("%s instead of one", plural(len(list), "certificate"))
	}
	if err != nil {
		return nil, usagef("%s: %w", name, err)
	}
	return list[0], nil
}

type trustUpdateCmd struct {
	inDirectory
	Names []string `arg:"" optional:"" name:"name" help:"Sources; default: all."`
}

func (c *trustUpdateCmd) Run(ctx context.Context, con *console) error {
	m, err := c.open().Manifest()
	if err != nil {
		return err
	}
	for _, name := range c.Names {
		if !slices.ContainsFunc(m.Sources, func(s directory.Source) bool { return s.Name == name }) {
			return usagef("there is no source %q", name)
		}
	}
	var errs []error
	for i := range m.Sources {
		s := &m.Sources[i]
		if len(c.Names) > 0 && !slices.Contains(c.Names, s.Name) {
			continue
		}
		if err := c.update(ctx, con, s); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (c *trustUpdateCmd) update(ctx context.Context, con *console, s *directory.Source) error {
	if s.Origin == "-" {
		return errors.New("it came from standard input; import it again")
	}
	in := directory.Import{Name: s.Name, Kind: s.Kind, Unsigned: s.Kind == directory.TSL && s.Signer == nil}
	var err error
	if in.Origin, in.Data, err = fetchSource(ctx, con, s.Origin); err != nil {
		return err
	}
	h := gost.Streebog256.New()
	h.Write(in.Data)
	if hex.EncodeToString(h.Sum(nil)) == s.Digest {
		_, err := fmt.Fprintf(con.out, "%s: unchanged\n", printable(s.Name))
		return err
	}
	if s.Signer != nil {
		if in.Signer, err = gost.ParseCertificate(s.Signer); err != nil {
			return err
		}
	}
	return c.take(con, in)
}

type trustRemoveCmd struct {
	inDirectory
	Name string `arg:"" help:"The source."`
}

func (c *trustRemoveCmd) Run(con *console) error {
	if err := c.open().Remove(c.Name); err != nil {
		return err
	}
	_, err := fmt.Fprintf(con.out, "removed %s\n", printable(c.Name))
	return err
}

type trustListCmd struct {
	inDirectory
	Authorities bool `help:"List the accredited authorities instead of the sources."`
	JSON        bool `name:"json" help:"Write JSON."`
}

type jsonAuthority struct {
	Name         string   `json:"name"`
	Number       string   `json:"number,omitempty"`
	OGRN         string   `json:"ogrn,omitempty"`
	Status       string   `json:"status"`
	Since        string   `json:"since,omitempty"`
	Certificates []string `json:"certificates"` // fingerprints, Streebog-256
	CRLs         []string `json:"crls"`
}

func (c *trustListCmd) Run(con *console) error {
	d := c.open()
	if !c.Authorities {
		m, err := d.Manifest()
		if err != nil {
			return err
		}
		if c.JSON {
			return writeJSON(con, m.Sources)
		}
		t := newTable(con.out, "NAME", "KIND", "IMPORTED", "ORIGIN", "CONTENTS")
		for i := range m.Sources {
			s := &m.Sources[i]
			t.row(s.Name, string(s.Kind), s.Imported.UTC().Format(time.RFC3339), s.Origin, describeSource(s))
		}
		return t.flush()
	}
	contents, err := d.Load()
	if err != nil {
		return err
	}
	var list []jsonAuthority
	for _, l := range contents.Lists {
		for i := range l.Authorities {
			list = append(list, authorityJSON(&l.Authorities[i]))
		}
	}
	if c.JSON {
		return writeJSON(con, list)
	}
	t := newTable(con.out, "NUMBER", "OGRN", "STATUS", "SINCE", "CERTIFICATES", "NAME")
	for _, a := range list {
		t.row(a.Number, a.OGRN, a.Status, a.Since, fmt.Sprint(len(a.Certificates)), a.Name)
	}
	return t.flush()
}

func authorityJSON(a *tsl.Authority) jsonAuthority {
	out := jsonAuthority{Name: a.Name, Number: a.Number, OGRN: a.OGRN, Status: a.Status.Text, Certificates: []string{}, CRLs: []string{}}
	if !a.Status.Since.IsZero() {
		out.Since = a.Status.Since.Format(time.DateOnly)
	}
	for _, k := range a.Keys {
		for _, c := range k.Certificates {
			out.Certificates = append(out.Certificates, c.FingerprintString())
		}
		out.CRLs = append(out.CRLs, k.CRLs...)
	}
	return out
}

func writeJSON(con *console, v any) error {
	enc := json.NewEncoder(con.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
