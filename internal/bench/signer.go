package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/load"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// signerSide is a key with its certificate, who trusts it, and the keys that have been seen.
type signerSide struct {
	key   *gost.PrivateKey
	cert  *gost.Certificate
	store *trust.Store
	keys  *gost.KeyCache
}

// fatal makes what is for tests usable here.
type fatal struct{ testing.TB }

func (fatal) Helper()                           {}
func (fatal) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (fatal) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func newSignerSide() *signerSide {
	ca := testpki.NewCA(fatal{}, gost.GOST2012_256, "CryptoPro-A")
	s := &signerSide{store: trust.New([]*gost.Certificate{ca.Certificate}, nil), keys: gost.NewKeyCache(64)}
	s.key, s.cert = ca.NewSigner(fatal{}, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	return s
}

// prepare is one signature up to the key.
func (s *signerSide) prepare(p *xmldsig.Profile, doc []byte) *xmldsig.Prepared {
	prepared, err := p.Prepare(xmldsig.Input{Document: doc, Certificate: s.cert, Keys: s.keys})
	must(err)
	return prepared
}

func (s *signerSide) value(prepared *xmldsig.Prepared) []byte {
	value, err := s.key.Sign(rand.Reader, prepared.Digest(), nil)
	must(err)
	return value
}

func (s *signerSide) complete(prepared *xmldsig.Prepared, value []byte) []byte {
	out, err := prepared.Complete(value)
	must(err)
	return out
}

// policy verifies with prepared keys, and with or without the certificate's path.
func (s *signerSide) policy(profile *xmldsig.Profile, trusted bool) xmldsig.Policy {
	p := xmldsig.Policy{Keys: s.keys, Profile: profile}
	if trusted {
		p.Trust, p.Node = s.store, s.store
	}
	return p
}

func verify(doc []byte, policy xmldsig.Policy) *report.Report {
	r, err := xmldsig.Verify(doc, policy)
	must(err)
	if v := r.Verdict(); v == report.Invalid || policy.Trust != nil && v != report.Valid {
		must(fmt.Errorf("%s: %v", v, r.Failures()))
	}
	return r
}

// message makes a message of about n octets for a profile.
func message(p *xmldsig.Profile, n int) []byte {
	doc := string(load.Message(n))
	switch p {
	case xmldsig.SMEV3Personal:
		doc = strings.Replace(doc, "<ns1:Запрос ", `<ns1:Запрос Id="PERSONAL_SIGNATURE" `, 1)
	case xmldsig.SMEV2SP:
		doc = strings.NewReplacer("<ns1:Запрос ", `<smev:AppData xmlns:smev="http://smev.gosuslugi.ru/rev120315"><ns1:Запрос `,
			"</ns1:Запрос>", "</ns1:Запрос></smev:AppData>").Replace(doc)
	}
	return []byte(doc)
}

// signerComparisons compare with a program on libxml2 and OpenSSL's gost engine that does the same work (peer/signature.c).
// Signing is all but the key's own work; verifying is with keys seen before and without the certificate's path, which the
// peer does not look at.
func signerComparisons() ([]comparison, error) {
	s := newSignerSide()
	if len(only) == 0 {
		s.stages()
	}
	var list []comparison
	for _, c := range []struct {
		name    string
		profile *xmldsig.Profile
		size    int
	}{
		{"smev3-2k", xmldsig.SMEV3, 2 << 10}, {"smev3-10k", xmldsig.SMEV3, 10 << 10}, {"smev3-100k", xmldsig.SMEV3, 100 << 10},
		{"smev2-10k", xmldsig.SMEV2, 10 << 10},
	} {
		doc := message(c.profile, c.size)
		prepared := s.prepare(c.profile, doc)
		value := s.value(prepared)
		signed := s.complete(prepared, value)
		policy := s.policy(c.profile, false)
		sign := func() { s.complete(s.prepare(c.profile, doc), value) }
		verify := func() { verify(signed, policy) }
		list = append(list,
			comparison{name: "signer/sign-" + c.name, ours: sign, peer: "xmlsign", input: template(signed)},
			comparison{name: "signer/verify-" + c.name, ours: verify, peer: "xmlverify", input: signed})
		if c.name == "smev3-10k" {
			// The same against a peer that leaves the SMEV transform out.
			list = append(list,
				comparison{name: "signer/sign-" + c.name + "-c14n", ours: sign, peer: "xmlsign-c14n", input: template(signed)},
				comparison{name: "signer/verify-" + c.name + "-c14n", ours: verify, peer: "xmlverify-c14n", input: signed})
		}
	}
	if len(only) > 0 {
		return list, nil // the others take a minute to set up, and are for a whole run
	}
	return append(list, s.cmsComparisons()...), nil
}

var filled = regexp.MustCompile(`(<ds:DigestValue>|<ds:SignatureValue>)[^<]*`)

// template empties what a signer fills in.
func template(signed []byte) []byte { return filled.ReplaceAll(signed, []byte("$1")) }

// stages prints the microseconds of a message of each profile and size, and where they go.
func (s *signerSide) stages() {
	fmt.Println("us per message, and the share of: scan and report, canonicalization, digest, signature value, certificate and trust")
	for _, p := range xmldsig.Profiles {
		for _, n := range []int{2, 10, 100} {
			doc, ok := s.example(p, n<<10)
			if !ok {
				continue
			}
			prepared := s.prepare(p, doc)
			value := s.value(prepared)
			signed := s.complete(prepared, value)
			jobs, octets := work(signed, s.policy(p, true))
			h := gost.Streebog256.New()
			canonical := measure(func() { canon.ApplyAll(signed, jobs, xmltext.Limits{}) })
			digest := measure(func() {
				for _, o := range octets {
					h.Reset()
					h.Write(o)
					h.Sum(nil)
				}
			})
			public := gost.Prepare(s.cert.PublicKey)
			signature := measure(func() { must(public.Verify(prepared.Digest(), value)) })
			certificate := measure(func() {
				c, err := gost.ParseCertificate(s.cert.Raw)
				must(err)
				s.store.Check(c, nil, time.Now())
			})
			sign := measure(func() { s.complete(s.prepare(p, doc), value) })
			policy := s.policy(p, true)
			verify := measure(func() { verify(signed, policy) })
			line("sign", p, n, sign, canonical, digest, signature, 0)
			line("verify", p, n, verify, canonical, digest, signature, certificate)
		}
	}
}

// example is a message that a profile signs without further ado.
func (s *signerSide) example(p *xmldsig.Profile, n int) ([]byte, bool) {
	doc := message(p, n)
	_, err := p.Prepare(xmldsig.Input{Document: doc, Certificate: s.cert})
	return doc, err == nil && !p.Stamped()
}

func line(what string, p *xmldsig.Profile, kilo int, total, canonical, digest, signature, certificate float64) {
	rest := max(0, total-canonical-digest-signature-certificate)
	share := func(ns float64) string { return fmt.Sprintf("%3.0f%%", 100*ns/total) }
	fmt.Printf("us %-6s %-16s %3dk %8.1f  %s %s %s %s %s\n", what, p.Name, kilo, total/1000,
		share(rest), share(canonical), share(digest), share(signature), share(certificate))
}

// work are the canonicalizations that verifying a document takes, and the octets that are digested.
func work(doc []byte, policy xmldsig.Policy) (jobs []canon.Job, octets [][]byte) {
	policy.Trace = func(_ string, o []byte) { octets = append(octets, slices.Clone(o)) }
	for _, s := range verify(doc, policy).Signatures {
		info := s.Place.Offset + bytes.Index(doc[s.Place.Offset:], []byte("<ds:SignedInfo"))
		jobs = append(jobs, canon.Job{Node: canon.Node{Element: info}, Chain: []canon.Transform{{URI: canon.ExclusiveURI}}, W: io.Discard})
		for _, c := range s.Coverage {
			job := canon.Job{Node: canon.Node{Whole: c.URI == "", Element: c.Place.Offset}, W: io.Discard}
			for _, uri := range c.Transforms {
				job.Chain = append(job.Chain, canon.Transform{URI: uri, Signature: s.Place.Offset, OmitSignatures: uri == canon.XPathURI})
			}
			jobs = append(jobs, job)
		}
	}
	return jobs, octets
}
