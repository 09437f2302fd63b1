package main

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/trust/lint"
)

type certShowCmd struct {
	JSON bool   `name:"json" help:"Write JSON."`
	File string `arg:"" help:"Certificates, PEM, DER or PKCS#7; - is standard input."`
}

func (c *certShowCmd) Run(con *console) error {
	certs, err := readAny(con, c.File)
	if err != nil {
		return err
	}
	if c.JSON {
		list := make([]*certificateView, len(certs))
		for i, cert := range certs {
			list[i] = view(cert)
		}
		return writeJSON(con, list)
	}
	for i, cert := range certs {
		if i > 0 {
			fmt.Fprintln(con.out)
		}
		if err := view(cert).write(con.out); err != nil {
			return err
		}
	}
	return nil
}

// readAny reads certificates, those of tests too: looking at one says nothing of its worth.
func readAny(con *console, name string) ([]*gost.Certificate, error) {
	data, err := con.read(name)
	if err != nil {
		return nil, err
	}
	return certificatesIn(name, data, gost.AllowTestParams())
}

// certificateView is a certificate for people and for scripts.
type certificateView struct {
	Subject          []attributeView `json:"subject"`
	Issuer           []attributeView `json:"issuer"`
	Holder           string          `json:"holder"`
	Serial           string          `json:"serial"`
	Version          int             `json:"version"`
	NotBefore        time.Time       `json:"not_before"`
	NotAfter         time.Time       `json:"not_after"`
	KeyNotBefore     *time.Time      `json:"key_not_before,omitempty"`
	KeyNotAfter      *time.Time      `json:"key_not_after,omitempty"`
	Key              string          `json:"key"`
	Parameters       string          `json:"parameters,omitempty"`
	SignedWith       string          `json:"signed_with"`
	KeyUsage         string          `json:"key_usage,omitempty"`
	Purposes         []string        `json:"purposes,omitempty"`
	Policies         []string        `json:"policies,omitempty"`
	CA               bool            `json:"ca"`
	PathLength       *int            `json:"path_length,omitempty"`
	SubjectSignTool  string          `json:"subject_sign_tool,omitempty"`
	IssuerSignTool   []string        `json:"issuer_sign_tool,omitempty"`
	Identification   string          `json:"identification_kind,omitempty"`
	AlternativeNames []string        `json:"alternative_names,omitempty"`
	CRLs             []string        `json:"crls,omitempty"`
	DeltaCRLs        []string        `json:"delta_crls,omitempty"`
	OCSP             []string        `json:"ocsp,omitempty"`
	IssuerAddresses  []string        `json:"issuer_addresses,omitempty"`
	Permitted        []string        `json:"permitted_names,omitempty"`
	Excluded         []string        `json:"excluded_names,omitempty"`
	SubjectKeyID     string          `json:"subject_key_id,omitempty"`
	AuthorityKeyID   string          `json:"authority_key_id,omitempty"`
	Extensions       []extensionView `json:"extensions,omitempty"`
	Fingerprint      string          `json:"streebog256"`
}

type attributeView struct {
	Name  string `json:"name"`
	OID   string `json:"oid"`
	Value string `json:"value"`
	Type  string `json:"type"`
}

type extensionView struct {
	OID      string `json:"oid"`
	Name     string `json:"name,omitempty"`
	Critical bool   `json:"critical"`
}

func view(c *gost.Certificate) *certificateView {
	v := &certificateView{
		Subject: attributes(c.Subject), Issuer: attributes(c.Issuer), Holder: lint.HolderOf(c).String(), Serial: c.SerialString(),
		Version: c.Version, NotBefore: c.NotBefore, NotAfter: c.NotAfter, SignedWith: named(c.SignatureOID), CA: c.IsCA,
		Purposes: namedAll(c.ExtKeyUsage), Policies: namedAll(c.Policies), OCSP: c.OCSPServers, IssuerAddresses: c.IssuerURLs,
		CRLs: addresses(c.DistributionPoints), DeltaCRLs: addresses(c.FreshestCRL), AlternativeNames: general(c.AlternativeNames),
		SubjectKeyID: hex.EncodeToString(c.SubjectKeyID), AuthorityKeyID: hex.EncodeToString(c.AuthorityKeyID),
		Fingerprint: c.FingerprintString(),
	}
	switch {
	case c.PublicKey != nil:
		v.Key, v.Parameters = c.PublicKey.Algorithm.Name, c.PublicKey.Params.Name
	case c.OtherKey != nil:
		v.Key = strings.TrimPrefix(fmt.Sprintf("%T", c.OtherKey), "*")
		v.Key = strings.ToUpper(strings.TrimSuffix(v.Key, ".PublicKey"))
	default:
		v.Key = "unusable: " + c.PublicKeyErr.Error()
	}
	if c.HasKeyUsage {
		v.KeyUsage = c.KeyUsage.String()
	}
	if c.IsCA && c.MaxPathLen >= 0 {
		v.PathLength = &c.MaxPathLen
	}
	for _, t := range []struct {
		from time.Time
		to   **time.Time
	}{{c.PrivateKeyNotBefore, &v.KeyNotBefore}, {c.PrivateKeyNotAfter, &v.KeyNotAfter}} {
		if !t.from.IsZero() {
			*t.to = &t.from
		}
	}
	v.SubjectSignTool, _ = c.SubjectSignTool() // what is wrong with these is for epov cert lint to say
	if t, err := c.IssuerSignTool(); !errors.Is(err, gost.ErrNoExtension) {
		v.IssuerSignTool = []string{t.Tool, t.CATool, t.ToolCert, t.CAToolCert}
	}
	v.Identification, _ = c.IdentificationKind()
	if n := c.NameConstraints; n != nil {
		v.Permitted, v.Excluded = general(n.Permitted), general(n.Excluded)
	}
	for _, e := range c.Extensions {
		oid := asn1.ObjectIdentifier(e.OID)
		v.Extensions = append(v.Extensions, extensionView{oid.String(), gost.OIDName(oid), e.Critical})
	}
	return v
}

func attributes(n gost.Name) []attributeView {
	out := []attributeView{}
	for _, a := range n.Attributes() {
		out = append(out, attributeView{a.Name, a.OID.String(), a.Text, a.Type})
	}
	return out
}

func named(oid asn1.ObjectIdentifier) string {
	if name := gost.OIDName(oid); name != "" {
		return name + " (" + oid.String() + ")"
	}
	return oid.String()
}

func namedAll(list []asn1.ObjectIdentifier) []string {
	var out []string
	for _, oid := range list {
		out = append(out, named(oid))
	}
	return out
}

func general(list []gost.GeneralName) []string {
	var out []string
	for _, n := range list {
		out = append(out, n.String())
	}
	return out
}

func addresses(points []gost.DistributionPoint) []string {
	var out []string
	for _, p := range points {
		out = append(out, p.URIs()...)
	}
	return out
}

// write prints the view, what is absent left out.
func (v *certificateView) write(out io.Writer) error {
	w := labelled{to: out}
	w.name("subject", v.Subject)
	w.name("issuer", v.Issuer)
	w.line("holder", v.Holder)
	w.line("serial", v.Serial)
	w.line("valid", v.NotBefore.Format(time.RFC3339)+" to "+v.NotAfter.Format(time.RFC3339)+remaining(v.NotBefore, v.NotAfter))
	w.line("private key", keyPeriod(v.KeyNotBefore, v.KeyNotAfter))
	w.line("key", strings.TrimSuffix(v.Key+", "+v.Parameters, ", "))
	w.line("signed with", v.SignedWith)
	w.line("key usage", v.KeyUsage)
	w.lines("purposes", v.Purposes)
	w.lines("policies", v.Policies)
	if v.CA {
		ca := "yes"
		if v.PathLength != nil {
			ca += fmt.Sprintf(", at most %d below it", *v.PathLength)
		}
		w.line("CA", ca)
	}
	w.line("signs with", v.SubjectSignTool)
	w.lines("issued with", v.IssuerSignTool)
	w.line("identified", v.Identification)
	w.lines("other names", v.AlternativeNames)
	w.lines("permitted", v.Permitted)
	w.lines("excluded", v.Excluded)
	w.lines("CRL", v.CRLs)
	w.lines("delta CRL", v.DeltaCRLs)
	w.lines("OCSP", v.OCSP)
	w.lines("issuer at", v.IssuerAddresses)
	w.line("key id", v.SubjectKeyID)
	w.line("issuer key id", v.AuthorityKeyID)
	w.extensions(v.Extensions)
	w.line("streebog256", v.Fingerprint)
	return w.err
}

// labelled prints values behind their labels, and keeps the first error.
type labelled struct {
	to  io.Writer
	err error
}

// line leaves out what is absent.
func (w *labelled) line(label, value string) {
	if value != "" && w.err == nil {
		_, w.err = fmt.Fprintf(w.to, "%-14s %s\n", label, printable(value))
	}
}

func (w *labelled) lines(label string, values []string) {
	for _, s := range values {
		w.line(label, s)
		label = ""
	}
}

func (w *labelled) name(label string, attributes []attributeView) {
	for _, a := range attributes {
		shown := a.Name
		if a.Name != a.OID {
			shown = fmt.Sprintf("%s (%s)", a.Name, a.OID)
		}
		w.line(label, shown+" = "+a.Value)
		label = ""
	}
}

func (w *labelled) extensions(list []extensionView) {
	label := "extensions"
	for _, e := range list {
		shown := e.OID
		if e.Name != "" {
			shown = e.Name + " (" + e.OID + ")"
		}
		if e.Critical {
			shown += ", critical"
		}
		w.line(label, shown)
		label = ""
	}
}

func remaining(from, to time.Time) string {
	switch now := time.Now(); {
	case now.Before(from):
		return " (not yet)"
	case now.After(to):
		return " (over)"
	default:
		return fmt.Sprintf(" (%d days left)", int(to.Sub(now).Hours()/24))
	}
}

func keyPeriod(from, to *time.Time) string {
	switch {
	case from != nil && to != nil:
		return "may sign from " + from.Format(time.RFC3339) + " to " + to.Format(time.RFC3339)
	case to != nil:
		return "may sign until " + to.Format(time.RFC3339)
	case from != nil:
		return "may sign from " + from.Format(time.RFC3339)
	}
	return ""
}
