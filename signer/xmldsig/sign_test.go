package xmldsig

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// pair is a key in software with its certificate and who trusts it.
type pair struct {
	key   *gost.PrivateKey
	cert  *gost.Certificate
	store *trust.Store
	root  *gost.Certificate
}

// trusting is who trusts several.
func trusting(pairs ...*pair) *trust.Store {
	var roots []*gost.Certificate
	for _, p := range pairs {
		roots = append(roots, p.root)
	}
	return trust.New(roots, nil)
}

func newPair(t testing.TB, a *gost.Algorithm, params string) *pair {
	ca := testpki.NewCA(t, a, params)
	p := &pair{root: ca.Certificate}
	p.store = trusting(p)
	p.key, p.cert = ca.NewSigner(t, a, params, testpki.Template{})
	return p
}

func (p *pair) sign(t testing.TB, profile *Profile, in Input) []byte {
	t.Helper()
	in.Certificate = p.cert
	prepared, err := profile.Prepare(in)
	if err != nil {
		t.Fatal(err)
	}
	value, err := p.key.Sign(rand.Reader, prepared.Digest(), nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := prepared.Complete(value)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const soapOpen = `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>`
const soapClose = `</s:Body></s:Envelope>`

func types(version string) string {
	return ` xmlns:t="` + nsSMEV3 + version + `" xmlns:b="` + nsSMEV3 + `basic/` + version + `"`
}

// A message to sign: Body gets the profile's places added.
type message struct {
	name    string
	profile *Profile
	doc     string
	target  string
	covers  string // path of what the report must say is covered
	twist   string // what the output must contain
}

func messagesToSign() []message {
	question := `<q:Question xmlns:q="urn://example.ru/q" Id="PERSONAL_SIGNATURE" kind="2"><q:Note>5 &gt; 3</q:Note></q:Question>`
	data := func(inner string) string {
		return `<t:SenderProvidedRequestData><t:MessageID>8c1c0a10</t:MessageID><b:MessagePrimaryContent>` + question +
			`</b:MessagePrimaryContent>` + inner + `</t:SenderProvidedRequestData>`
	}
	request := func(version, inner, outer string) string {
		return `<t:SendRequestRequest` + types(version) + `>` + data(inner) + outer + `</t:SendRequestRequest>`
	}
	caller := func(operation, target string) message {
		return message{operation, SMEV3,
			soapOpen + `<t:` + operation + types("1.2") + `>` + target + `</t:` + operation + `>` + soapClose, "", "", ""}
	}
	smev2 := func(header string) string {
		return `<?xml version="1.0" encoding="UTF-8"?>` + "\r\n" +
			`<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">` +
			header + `<soap:Body>` + "\r\n  " + `<q:Ask xmlns:q="http://example.ru/s" xmlns:smev="http://smev.gosuslugi.ru/rev120315">` +
			`<smev:MessageData><smev:AppData><q:Answer>text</q:Answer></smev:AppData></smev:MessageData></q:Ask></soap:Body></soap:Envelope>`
	}
	selector := `<b:MessageTypeSelector><b:Timestamp>2026-01-15T09:30:00</b:Timestamp></b:MessageTypeSelector>`
	const plain = "<?xml version=\"1.0\"?>\n<!-- c --><doc xmlns=\"urn:d\" a='1'>\n <item Id=\"i1\">text &amp; <![CDATA[<x>]]></item>\n</doc>\n<!-- end -->"
	list := []message{
		{"1.1 bare", SMEV3, request("1.1", "", ""), "", "/t:SendRequestRequest/t:SenderProvidedRequestData", `Id="SIGNED_BY_CONSUMER"`},
		{"1.2 soap", SMEV3, soapOpen + request("1.2", "", "") + soapClose, "",
			"/s:Envelope/s:Body/t:SendRequestRequest/t:SenderProvidedRequestData", ""},
		{"1.3 with attachments", SMEV3, request("1.3", "", `<b:AttachmentContentList></b:AttachmentContentList>`), "", "",
			`</b:AttachmentContentList><t:CallerInformationSystemSignature><ds:Signature`},
		{"wrapper empty tag", SMEV3, request("1.2", "", `<t:CallerInformationSystemSignature />`), "", "",
			`<t:CallerInformationSystemSignature ><ds:Signature`},
		{"wrapper of blanks", SMEV3, request("1.2", "", "<t:CallerInformationSystemSignature>\n</t:CallerInformationSystemSignature>"),
			"", "", ""},
		{"default namespace", SMEV3, `<SendRequestRequest xmlns="` + nsSMEV3 +
			`1.2"><SenderProvidedRequestData Id="x1"><b:MessagePrimaryContent xmlns:b="` + nsSMEV3 +
			`basic/1.2"><q/></b:MessagePrimaryContent></SenderProvidedRequestData></SendRequestRequest>`, "",
			"/SendRequestRequest/SenderProvidedRequestData", `<CallerInformationSystemSignature><ds:Signature`},
		{"byte order mark", SMEV3, "\xEF\xBB\xBF" + request("1.2", "", ""), "", "", ""},
		{"Id taken elsewhere", SMEV3, soapOpen + `<t:AckRequest` + types("1.2") +
			`><b:AckTargetMessage accepted="true">m</b:AckTargetMessage><t:x id="SIGNED_BY_CALLER"/></t:AckRequest>` + soapClose, "", "",
			`Id="SIGNED_BY_CALLER-1"`},
		caller("SendResponseRequest", `<t:SenderProvidedResponseData><t:MessageID>1</t:MessageID></t:SenderProvidedResponseData>`),
		caller("GetRequestRequest", selector), caller("GetResponseRequest", selector),
		caller("AckRequest", `<b:AckTargetMessage accepted="true">8c1c</b:AckTargetMessage>`),
		caller("GetStatusRequest", `<b:Timestamp>2026-01-15T09:30:00</b:Timestamp>`),
		caller("GetIncomingQueueStatisticsRequest", `<b:Timestamp>2026-01-15T09:30:00</b:Timestamp>`),
		{"personal", SMEV3Personal, soapOpen + request("1.2", `<b:AttachmentHeaderList/>`, "") + soapClose, "",
			"/s:Envelope/s:Body/t:SendRequestRequest/t:SenderProvidedRequestData/b:MessagePrimaryContent/q:Question",
			`</b:MessagePrimaryContent><t:PersonalSignature>`},
		{"personal gets an Id", SMEV3Personal, strings.ReplaceAll(request("1.2", "", ""), ` Id="PERSONAL_SIGNATURE"`, ""),
			"mine", "", `<q:Question Id="mine"`},
		{"no header", SMEV2, smev2(""), "", "/soap:Envelope/soap:Body", `<soap:Header><wsse:Security xmlns:wsse="`},
		{"empty header", SMEV2, smev2("<soap:Header/>"), "", "/soap:Envelope/soap:Body", `<soap:Header><wsse:Security`},
		{"other actors", SMEV2, smev2(`<soap:Header><w:Security xmlns:w="` + nsWSSE + `" soap:actor="urn:other"/></soap:Header>`), "",
			"/soap:Envelope/soap:Body", ` soap:actor="http://smev.gosuslugi.ru/actors/smev"`},
		{"header ready", SMEV2, smev2(`<soap:Header xmlns:wsu="urn:taken"><w:Security xmlns:w="` + nsWSSE +
			`" soap:actor="` + actorSMEV + `"/></soap:Header>`), "", "/soap:Envelope/soap:Body", `<w:BinarySecurityToken xmlns:wsu1="`},
		{"soap is the default namespace", SMEV2,
			`<Envelope xmlns="` + nsSOAP + `"><Body><x xmlns="urn:x">1</x></Body></Envelope>`, "",
			"/Envelope/Body", `<Header><wsse:Security`},
		{"AppData", SMEV2SP, smev2(""), "", "/soap:Envelope/soap:Body/q:Ask/smev:MessageData/smev:AppData",
			`wsu:Id="AppData"><ds:Signature`},
		{"AppData with Id", SMEV2SP, strings.Replace(smev2(""), "<smev:AppData>", `<smev:AppData Id="own">`, 1), "own",
			"", `<smev:AppData Id="own"><ds:Signature`},
		{"node", SMEV2Node, smev2(`<soap:Header><smev:Header xmlns:smev="http://smev.gosuslugi.ru/rev120315"><smev:NodeId>1</smev:NodeId></smev:Header></soap:Header>`), "", "/soap:Envelope/soap:Header/smev:Header", ` soap:actor="http://smev.gosuslugi.ru/actors/recipient"`},
		{"delivered", SMEV3Node, soapOpen + `<t:SendRequestResponse` + types("1.3") +
			`><t:MessageMetadata><t:MessageId>1</t:MessageId></t:MessageMetadata></t:SendRequestResponse>` + soapClose,
			"", "/s:Envelope/s:Body/t:SendRequestResponse/t:MessageMetadata", `<t:MessageMetadata Id="SIGNED_BY_SMEV">`},
		{"request", GISGMP, strings.Replace(smev2(""), "<q:Answer>text</q:Answer>", gisgmpRequest, 1), "", "",
			`</ds:Signature></g:RequestMessage>`},
		{"charge", GISGMP, strings.Replace(smev2(""), "<q:Answer>text</q:Answer>", gisgmpRequest, 1), "#C_1", "",
			`</ds:Signature></c:Charge>`},
		{"charge as a document", GISGMP, gisgmpCharge, "", "", `<ds:Reference URI="">`},
		{"root", Shared, plain, "", "/", `<ds:XPath>not(ancestor-or-self::ds:Signature)</ds:XPath>`},
		{"root", Enveloped, plain, "", "/", "</ds:Signature></doc>\n<!-- end -->"},
		{"empty root", Enveloped, "<doc/>", "", "/", "<doc><ds:Signature"},
		{"element", Enveloped, plain, "#i1", "/doc/item", "</ds:Signature></item>"},
		{"xml", Enveloping, plain, "", "/ds:Signature/ds:Object", `<!-- c --><ds:Signature`},
		{"sibling", Detached, plain, "#i1", "/doc/item", "</ds:Signature></doc>"},
		{"outside", Detached, "any octets\x00", "report.bin", "", ""},
		{"root", XAdESBES, plain, "", "/", "<xades:SigningTime>"},
	}
	return list
}

const (
	gisgmpCharge  = `<c:Charge xmlns:c="http://roskazna.ru/gisgmp/xsd/116/Charge"><c:Sum>100</c:Sum></c:Charge>`
	gisgmpRequest = `<g:RequestMessage xmlns:g="http://roskazna.ru/gisgmp/xsd/116/Message" Id="ID_1" senderRole="7">` +
		`<c:Charge xmlns:c="http://roskazna.ru/gisgmp/xsd/116/Charge" Id="C_1"><c:Sum>100</c:Sum></c:Charge></g:RequestMessage>`
)

// isInsertion tells whether out is in plus insertions, but for one empty-element tag that may have been opened.
func isInsertion(in, out string) bool {
	if isSubsequence(in, out) {
		return true
	}
	for i := range in {
		if strings.HasPrefix(in[i:], "/>") && isSubsequence(in[:i]+in[i+1:], out) {
			return true
		}
	}
	return false
}

func isSubsequence(in, out string) bool {
	for i := range len(in) {
		j := strings.IndexByte(out, in[i])
		if j < 0 {
			return false
		}
		out = out[j+1:]
	}
	return true
}

var algorithms = []struct {
	algorithm *gost.Algorithm
	params    string
}{
	{gost.GOST2012_256, "CryptoPro-A"}, {gost.GOST2012_256, "tc26-256-A"}, {gost.GOST2012_512, "tc26-512-A"},
}

// TestRoundTrip: what is signed verifies, is the input plus insertions, and breaks with any covered octet.
func TestRoundTrip(t *testing.T) {
	for i, m := range messagesToSign() {
		a := algorithms[i%len(algorithms)]
		t.Run(m.profile.Name+" "+m.name, func(t *testing.T) {
			p := newPair(t, a.algorithm, a.params)
			out := p.sign(t, m.profile, Input{Document: []byte(m.doc), Target: m.target, Time: time.Now()})
			policy := Policy{Profile: m.profile, Trust: p.store, Node: p.store, Target: m.target}
			if !m.profile.targeted() {
				policy.Target = ""
			}
			if m.name == "outside" {
				policy.Content, policy.Target = []byte(m.doc), ""
			} else if !isInsertion(m.doc, string(out)) {
				t.Errorf("the input is not kept:\n%s", out)
			}
			if !strings.Contains(string(out), m.twist) {
				t.Errorf("no %s in\n%s", m.twist, out)
			}
			r, err := Verify(out, policy)
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict() != report.Valid {
				t.Fatalf("verdict %s%s\n%s", r.Verdict(), messages(r), out)
			}
			s := r.Signatures[0]
			if len(r.Signatures) != 1 || s.Profile != m.profile.Name || s.Algorithm != a.algorithm.Name {
				t.Errorf("%d signatures, profile %s, algorithm %s", len(r.Signatures), s.Profile, s.Algorithm)
			}
			if m.covers != "" && s.Coverage[0].Place.Path != m.covers {
				t.Errorf("covers %s, not %s", s.Coverage[0].Place.Path, m.covers)
			}
			if m.profile == XAdESBES && s.ClaimedTime.IsZero() {
				t.Error("no claimed time")
			}
			recognised := policy
			recognised.Profile, recognised.Target = nil, ""
			want := report.Valid
			switch {
			case m.profile == SMEV3Personal:
				want = report.Invalid // the system's own signature is still missing
			case m.profile == SMEV2Node || m.profile == SMEV3Node:
				if r, err := Verify(out, Policy{Profile: m.profile, Trust: p.store}); err != nil || r.Verdict() != report.Indeterminate {
					t.Errorf("anyone may sign as SMEV: %v%s", err, messages(r))
				}
			}
			if r, err = Verify(out, recognised); err != nil || r.Verdict() != want {
				t.Errorf("without a profile: %v %s", err, messages(r))
			}

			for _, place := range append(coverage(s), s.Place) {
				for at := place.Offset + i%13; at < place.End; at += 13 {
					broken := slices.Clone(out)
					switch c := broken[at]; {
					case c == 'z' || c == 'Z' || c == '9':
						broken[at]--
					case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9':
						broken[at]++
					default:
						continue
					}
					if r, err := Verify(broken, policy); err == nil && r.Verdict() == report.Valid && !innocent(out, at) {
						t.Fatalf("still valid with octet %d changed: …%s", at, broken[max(0, at-40):min(len(broken), at+10)])
					}
				}
			}
			if m.name == "outside" {
				policy.Content = append([]byte{1}, policy.Content...)
				if r, err := Verify(out, policy); err != nil || r.Verdict() != report.Invalid {
					t.Error("content outside changed, and still valid")
				}
			}
		})
	}
}

func coverage(s report.Signature) (out []report.Place) {
	for _, c := range s.Coverage {
		if c.Place.End > 0 && c.Place.Path != "/" {
			out = append(out, c.Place)
		} else if c.Place.Path == "/" {
			out = append(out, report.Place{Offset: 0, End: c.Place.End})
		}
	}
	return out
}

// innocent tells the octets under a signature that mean nothing: comments, the XML declaration, hints beside the key.
func innocent(doc []byte, at int) bool {
	for _, span := range regexp.MustCompile(`(?s)<!--.*?-->|<\?xml.*?\?>`).FindAllIndex(doc, -1) {
		if span[0] <= at && at < span[1] {
			return true
		}
	}
	start := bytes.LastIndexByte(doc[:at], '<')
	return bytes.HasPrefix(doc[start:], []byte("<wsse:Reference")) || bytes.HasPrefix(doc[start:], []byte("<w:Reference"))
}

// TestOpenSSL: SignedInfo is written in canonical form, and digests and values hold for OpenSSL.
func TestOpenSSL(t *testing.T) {
	value := regexp.MustCompile(`<ds:SignatureValue>([^<]*)<`)
	digests := regexp.MustCompile(`<ds:DigestValue>([^<]*)<`)
	for i, m := range messagesToSign() {
		if i%3 != 0 && m.profile.place == inWrapper {
			continue // the same machinery
		}
		for _, a := range algorithms[i%2 : i%2+2] {
			t.Run(fmt.Sprint(m.profile.Name, " ", m.name, " ", a.params), func(t *testing.T) {
				p := newPair(t, a.algorithm, a.params)
				out := p.sign(t, m.profile, Input{Document: []byte(m.doc), Target: m.target, Time: time.Now()})
				trace := map[string][]byte{}
				policy := Policy{Trace: func(name string, octets []byte) { trace[name] = slices.Clone(octets) }}
				if m.name == "outside" {
					policy.Content = []byte(m.doc)
				}
				if _, err := Verify(out, policy); err != nil {
					t.Fatal(err)
				}
				info := trace["signature-0/signed-info"]
				digest := "-md_gost12_256"
				if a.algorithm == gost.GOST2012_512 {
					digest = "-md_gost12_512"
				}
				sig, err := base64.StdEncoding.DecodeString(value.FindStringSubmatch(string(out))[1])
				if err != nil {
					t.Fatal(err)
				}
				spki := p.cert.RawSubjectPublicKeyInfo
				key := oracle.File(t, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
				if got, err := oracle.OpenSSL(t, info, "dgst", digest, "-verify", key, "-signature", oracle.File(t, sig)); err != nil {
					t.Errorf("OpenSSL refuses the signature: %s %v", got, err)
				}
				for n, d := range digests.FindAllSubmatch(info, -1) {
					octets, ok := trace[fmt.Sprintf("signature-0/reference-%d", n)]
					if !ok {
						t.Fatalf("reference %d not traced", n)
					}
					got, err := oracle.OpenSSL(t, octets, "dgst", digest, "-binary")
					if err != nil || base64.StdEncoding.EncodeToString(got) != string(d[1]) {
						t.Errorf("reference %d: OpenSSL digests %x, not %s (%v)", n, got, d[1], err)
					}
				}

				// As SignedInfo inherits no default namespace, xmllint must make the same octets of it alone.
				again, err := oracle.Xmllint(t, info, "--exc-c14n")
				if err != nil || !bytes.Equal(bytes.TrimSuffix(again, []byte("\n")), info) {
					t.Errorf("xmllint canonicalizes SignedInfo differently: %v\n%s\n%s", err, info, again)
				}
				var mine bytes.Buffer
				at := bytes.Index(out, []byte("<ds:SignedInfo"))
				if err := canon.Apply(&mine, out, canon.Node{Element: at}, []canon.Transform{{URI: canon.ExclusiveURI}},
					xmltext.Limits{}); err != nil || !bytes.Equal(mine.Bytes(), info) {
					t.Errorf("SignedInfo changed under verification: %v", err)
				}
			})
		}
	}
}

func code(err error) report.Code {
	if e, ok := err.(*report.Error); ok {
		return e.Code
	}
	return ""
}
