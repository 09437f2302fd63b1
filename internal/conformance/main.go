// Command conformance writes docs/conformance.md from what the tests have noted, see vectors.Outcome:
//
//	conformance OUTCOMES docs/conformance.md
//
// It fails on a family that it does not know and on one of which nothing was noted, so that the table is whole. With -check
// it compares instead of writing.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// family is a set of vectors or of comparisons.
type family struct {
	name     string // as the tests call it
	what     string
	standard string
	source   string
	optional bool // it needs a program that may be absent, which its row then says
}

// group is a table of the document.
type group struct {
	title, about string
	families     []family
}

// The words for where vectors come from.
const (
	made   = "generated with independent implementations"
	others = "published by others"
)

var groups = []group{
	{"Algorithms", "Hash functions, parameter sets, keys and signatures.", []family{
		{"streebog", "GOST R 34.11-2012, 256 and 512 bits, on every implementation in the program", "RFC 6986", "the RFC's examples, and " + made, false},
		{"34.11-94", "GOST R 34.11-94, for old messages", "RFC 5831", made, false},
		{"parameter sets", "constants of the curves", "RFC 7836, RFC 9215, RFC 4357", made, false},
		{"sign", "signature values, right ones and broken ones", "RFC 7091", made, false},
		{"nonces", "signatures made with a given nonce", "RFC 7091", made, false},
		{"encodings", "lengths and halves of signature values", "RFC 9215, RFC 4491", made, false},
		{"public keys", "SubjectPublicKeyInfo: parameters, points", "RFC 9215, RFC 4491", made, false},
		{"private keys", "PKCS #8 in the forms that programs write; big-endian ones are policy: no octet order is tried", "RFC 9215", made, false},
	}},
	{"Canonical forms", "Octets compared with those of the reference, and of other implementations.", []family{
		{"smev transform", "urn://smev-gov-ru/xmldsig/transform, on octets and after exclusive C14N", "SMEV 3 method documents", "the documents' examples, and " + made, false},
		{"libxml2", "generated documents in inclusive, inclusive 1.1 and exclusive C14N", "W3C C14N 1.0, 1.1, exclusive", "compared with libxml2", false},
		{"santuario c14n", "the same, as octets and as node-sets, with and without comments", "W3C C14N 1.0, 1.1, exclusive", "compared with Apache Santuario of the JDK", true},
	}},
	{"Certificates", "Reading, signatures, paths per RFC 5280, revocation.", []family{
		{"chains", "chains of every parameter set", "RFC 9215, RFC 5280", made, false},
		{"paths", "paths with one thing wrong, or none; those with CRLs under required revocation", "RFC 5280", made, false},
		{"requests", "PKCS #10", "RFC 2986, RFC 9215", made, false},
		{"rfc certificates", "the certificates and requests that the RFCs print", "RFC 4491, RFC 9215", others, false},
		{"crls", "revocation lists", "RFC 5280", "the RFC's examples, and " + made, false},
		{"corpus certificates", "certificates of Russian authorities and of other programs; policy: algorithms that nobody can check any more", "RFC 5280", others, false},
		{"corpus requests", "requests of other programs", "RFC 2986", others, false},
		{"corpus crls", "revocation lists of Russian authorities", "RFC 5280", others, false},
	}},
	{"XML signatures", "Verdicts on whole documents.", []family{
		{"smev messages", "messages of SMEV 2 and 3: integrity", "SMEV method documents", "official samples, and " + made, false},
		{"xmldsig", "XMLDSig, WS-Security, XAdES, with certificate paths, and attacks", "XMLDSig 1.0, XAdES", made, false},
		{"corpus xmldsig", "signed by other programs: integrity", "XMLDSig 1.0", others, false},
		{"santuario", "every profile that is written here, verified octet for octet", "XMLDSig 1.0", "compared with Apache Santuario and Bouncy Castle", true},
	}},
	{"CMS and time-stamps", "Verdicts on whole messages.", []family{
		{"cms", "SignedData, CAdES: DER, BER, several signers, and attacks", "RFC 5652, RFC 5126", made, false},
		{"smev cms", "attachments of SMEV 3, ESIA: integrity", "SMEV 3, ESIA method documents", made, false},
		{"corpus cms", "signed by other programs: integrity", "RFC 5652", others, false},
		{"tokens", "time-stamp tokens", "RFC 3161", made, false},
		{"cades-t", "time-stamped signatures", "RFC 5126", made, false},
		{"bouncy castle", "every profile that is written here, and changed ones", "RFC 5652, RFC 3161", "compared with Bouncy Castle", true},
	}},
	{"Explanations", "Signatures made with one mistake or two; the explanation must name just these.", []family{
		{"mistakes", "mistakes in canonical form, digest, value, attributes, certificate", "docs/explain.md", "made in the tests", false},
	}},
}

// why says why the code decides otherwise than the index of a family expects.
var why = map[string]string{
	"smev transform 092":                  "DOCTYPE is refused in every document",
	"smev transform 093":                  "DOCTYPE is refused in every document",
	"paths private-key-usage-period-over": "valid as a certificate, but the private key was no longer to be used at the time of signing",
	"xmldsig 47-hmac-256":                 "HMAC is no signature: whoever verifies can make it",
	"corpus cms cms-002":                  "signed over attributes that are not in DER order (RFC 5652 section 5.4)",
	"corpus cms cms-003":                  "signed over attributes that are not in DER order (RFC 5652 section 5.4)",
	"corpus cms cms-014":                  "the signer's certificate is not among the vectors",
}

type outcome struct{ expect, got string }

func main() {
	check := flag.Bool("check", false, "compare the document with what would be written")
	flag.Parse()
	if flag.NArg() != 2 {
		fail("usage: conformance [-check] OUTCOMES DOCUMENT")
	}
	data, err := os.ReadFile(flag.Arg(0))
	if err != nil {
		fail("%v", err)
	}
	outcomes, err := parse(string(data))
	if err != nil {
		fail("%v", err)
	}
	page, err := render(outcomes)
	if err != nil {
		fail("%v", err)
	}
	if !*check {
		if err := os.WriteFile(flag.Arg(1), page, 0o644); err != nil {
			fail("%v", err)
		}
		return
	}
	if old, err := os.ReadFile(flag.Arg(1)); err != nil || !same(old, page) {
		fail("%s is not what the tests say now: run make conformance", flag.Arg(1))
	}
}

// same compares documents, leaving out the rows of what was not run here.
func same(old, page []byte) bool {
	before, now := strings.Split(string(old), "\n"), strings.Split(string(page), "\n")
	if len(before) != len(now) {
		return false
	}
	for i, line := range now {
		if row, _, notRun := strings.Cut(line, " | not run |"); line != before[i] && !(notRun && strings.HasPrefix(before[i], row+" | ")) {
			return false
		}
	}
	return true
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "conformance: "+format+"\n", args...)
	os.Exit(1)
}

// parse reads lines of family, id, expected and actual outcome. The same vector is noted several times when a test tries
// several implementations; these must agree.
func parse(data string) (map[string]map[string]outcome, error) {
	families := map[string]map[string]outcome{}
	for line := range strings.Lines(data) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(cells) != 4 {
			return nil, fmt.Errorf("%q is not an outcome", line)
		}
		ids := families[cells[0]]
		if ids == nil {
			ids = map[string]outcome{}
			families[cells[0]] = ids
		}
		o := outcome{cells[2], cells[3]}
		if before, ok := ids[cells[1]]; ok && before != o {
			return nil, fmt.Errorf("%s %s: %v and %v", cells[0], cells[1], before, o)
		}
		ids[cells[1]] = o
	}
	return families, nil
}

func render(outcomes map[string]map[string]outcome) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(head)
	otherwise := map[string]bool{}
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", g.title, g.about)
		b.WriteString("| what | standard | vectors | number | as expected | by policy | otherwise |\n| --- | --- | --- | ---: | --- | --- | ---: |\n")
		for _, f := range g.families {
			ids := outcomes[f.name]
			if len(ids) == 0 && f.optional {
				fmt.Fprintf(&b, "| %s | %s | %s | not run | – | – | – |\n", f.what, f.standard, f.source)
				continue
			}
			if len(ids) == 0 {
				return nil, fmt.Errorf("no outcome of %q: its tests were not run, or were skipped", f.name)
			}
			delete(outcomes, f.name)
			same, policy, other := map[string]int{}, map[string]int{}, 0
			for id, o := range ids {
				switch {
				case o.expect == "policy":
					policy[o.got]++
				case o.expect == o.got:
					same[o.got]++
				default:
					key := f.name + " " + id
					if why[key] == "" {
						return nil, fmt.Errorf("%s: %s instead of %s, and nobody says why", key, o.got, o.expect)
					}
					otherwise[key] = true
					other++
				}
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %d | %s | %s | %d |\n", f.what, f.standard, f.source, len(ids), counts(same), counts(policy), other)
		}
	}
	for name := range outcomes {
		return nil, fmt.Errorf("outcomes of %q, which is in no table", name)
	}
	b.WriteString("\n## Otherwise than their index expects\n\n")
	for _, key := range slices.Sorted(maps.Keys(why)) {
		if !otherwise[key] {
			return nil, fmt.Errorf("%s is as expected now", key)
		}
		fmt.Fprintf(&b, "- %s: %s.\n", key, why[key])
	}
	return b.Bytes(), nil
}

const head = `# Conformance

Written by ` + "`make conformance`" + ` from the tests' own outcomes; never typed. A vector counts once its test has passed, however many
implementations or modes the test tries. *As expected* counts by the outcome that the vectors' index demands: valid, invalid
(refused, whatever the way), or the same octets. *By policy* are vectors whose index leaves the decision to the verifier; the
tests hold a table with each decision and its reason. *Otherwise* are those decided against their index, listed at the end.
`

// counts writes numbers by outcome, the same way every time.
func counts(n map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, fmt.Sprintf("%d %s", n[k], k))
	}
	if parts == nil {
		return "–"
	}
	return strings.Join(parts, ", ")
}
