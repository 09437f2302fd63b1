package xmldsig

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/vectors"
)

// likeSantuario has Apache Santuario and Bouncy Castle verify a document, and compares the octets that were digested.
func likeSantuario(t *testing.T, doc []byte) {
	t.Helper()
	theirs, err := oracle.SantuarioVerify(t, doc)
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	trace := map[string][]byte{}
	r, err := Verify(doc, Policy{Trace: func(name string, octets []byte) { trace[name] = slices.Clone(octets) }})
	if err != nil || len(r.Signatures) != len(theirs) {
		t.Fatalf("%v, %d and %d signatures", err, len(r.Signatures), len(theirs))
	}
	vectors.Outcome(t, "santuario", t.Name(), "valid", "valid")
	for i, s := range theirs {
		if !s.Valid {
			t.Errorf("signature %d is not valid for Santuario\n%s", i, doc)
		}
		if ours := trace[fmt.Sprintf("signature-%d/signed-info", i)]; !bytes.Equal(s.SignedInfo, ours) {
			t.Errorf("signature %d: SignedInfo is\n%s for Santuario, and\n%s", i, s.SignedInfo, ours)
		}
		for j, theirs := range s.References {
			if ours := trace[fmt.Sprintf("signature-%d/reference-%d", i, j)]; !bytes.Equal(theirs, ours) {
				t.Errorf("signature %d, reference %d:\n%s for Santuario, and\n%s", i, j, theirs, ours)
			}
		}
	}
}

// TestSantuario: what every profile makes is valid for Apache Santuario with the algorithms of Bouncy Castle, octet for octet.
func TestSantuario(t *testing.T) {
	verified := 0
	for i, m := range messagesToSign() {
		if m.name == "outside" {
			continue // the content is not in the document
		}
		t.Run(m.profile.Name+" "+m.name, func(t *testing.T) {
			a := algorithms[i%len(algorithms)]
			p := newPair(t, a.algorithm, a.params)
			likeSantuario(t, p.sign(t, m.profile, Input{Document: []byte(m.doc), Target: m.target, Time: time.Now()}))
			verified++
		})
	}
	official, system, node := newPair(t, gost.GOST2012_256, "CryptoPro-A"), newPair(t, gost.GOST2012_256, "tc26-256-A"),
		newPair(t, gost.GOST2012_512, "tc26-512-A")
	signed := string(official.sign(t, SMEV3Personal, Input{Document: []byte(messagesToSign()[1].doc)}))
	signed = string(system.sign(t, SMEV3, Input{Document: []byte(signed)}))
	t.Run("SMEV over the sender over an official", func(t *testing.T) {
		likeSantuario(t, node.sign(t, SMEV3Node, Input{Document: []byte(delivered(signed))}))
	})
	t.Run("three who share", func(t *testing.T) {
		doc := []byte(`<doc xmlns="urn:d"><a>1</a></doc>`)
		for _, p := range []*pair{official, system, node} {
			doc = p.sign(t, Shared, Input{Document: doc})
		}
		likeSantuario(t, doc)
	})
	t.Run("xades-t", func(t *testing.T) {
		authority, _ := newAuthority(t, gost.GOST2012_256, "CryptoPro-A")
		bes := official.sign(t, XAdEST, Input{Document: []byte(`<doc/>`)})
		octets, err := TimeStampInput(bes, "", xmltext.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		stamped, err := AddTimeStamp(bes, "", token(t, authority, octets), xmltext.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		likeSantuario(t, stamped)
	})
	t.Run("changed", func(t *testing.T) { // the comparison can fail
		theirs, err := oracle.SantuarioVerify(t, []byte(strings.Replace(signed, "8c1c0a10", "8c1c0a11", 1)))
		if err != nil || len(theirs) != 2 || !theirs[0].Valid || theirs[1].Valid {
			t.Errorf("%v %d signatures", err, len(theirs))
		}
	})
	t.Logf("%d documents", verified)
}
