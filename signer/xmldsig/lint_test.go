package xmldsig

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
)

// sendRequest is a message of SMEV 3 that is in order on 15 January 2026.
const sendRequest = `<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body>` +
	`<t:SendRequestRequest xmlns:t="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" ` +
	`xmlns:b="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2">` +
	`<t:SenderProvidedRequestData Id="SIGNED_BY_CONSUMER"><t:MessageID>8c1c0a10-f1ee-11f0-8a5e-0242ac120002</t:MessageID>` +
	`<b:MessagePrimaryContent><q:Question xmlns:q="urn://example.ru/question/1.0" Id="PERSONAL_SIGNATURE"><q:name>x</q:name></q:Question>` +
	`</b:MessagePrimaryContent></t:SenderProvidedRequestData></t:SendRequestRequest></S:Body></S:Envelope>`

const getRequest = `<t:GetRequestRequest xmlns:t="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" ` +
	`xmlns:b="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2"><b:MessageTypeSelector Id="SIGNED_BY_CALLER">` +
	`<b:NamespaceURI>urn://example.ru/question/1.0</b:NamespaceURI><b:RootElementLocalName>Question</b:RootElementLocalName>` +
	`<b:Timestamp>2026-01-15T09:30:00.000+03:00</b:Timestamp></b:MessageTypeSelector></t:GetRequestRequest>`

func TestLint(t *testing.T) {
	at := time.Date(2026, 1, 15, 9, 30, 0, 0, time.UTC)
	signed, err := os.ReadFile(filepath.Join(vectors.Others(t), "smev-messages", "made", "bad-smev3-signature-reversed.xml"))
	if err != nil {
		t.Fatal(err)
	}
	change := func(doc string, pairs ...string) string {
		out := strings.NewReplacer(pairs...).Replace(doc)
		if out == doc {
			t.Fatalf("%v changes nothing", pairs)
		}
		return out
	}
	attachment := `<b:AttachmentHeaderList><b:AttachmentHeader><b:contentId>%s</b:contentId></b:AttachmentHeader></b:AttachmentHeaderList>`
	content := `<b:AttachmentContentList><b:AttachmentContent><b:Id>%s</b:Id><b:Content>%s</b:Content></b:AttachmentContent></b:AttachmentContentList>`
	with := func(header, body string) string {
		return change(sendRequest, "</b:MessagePrimaryContent>", "</b:MessagePrimaryContent>"+header,
			"</t:SenderProvidedRequestData>", "</t:SenderProvidedRequestData>"+body)
	}
	for _, tc := range []struct {
		name    string
		profile *Profile
		doc     string
		at      time.Time
		code    report.Code
		says    string // part of the message, empty: nothing is said
	}{
		{"in order", SMEV3, sendRequest, at, "", ""},
		{"in order, personal", SMEV3Personal, sendRequest, at, "", ""},
		{"in order, selector", SMEV3, getRequest, at, "", ""},
		{"UUID 4", SMEV3, change(sendRequest, "f1ee-11f0", "f1ee-41f0"), at, report.MessageIdentifier, "version 4"},
		{"no UUID", SMEV3, change(sendRequest, "8c1c0a10-", "8c1c0a10"), at, report.MessageIdentifier, "not a UUID"},
		{"old", SMEV3, sendRequest, at.Add(48 * time.Hour), report.MessageIdentifier, "24 hours"},
		{"ahead", SMEV3, sendRequest, at.Add(-48 * time.Hour), report.MessageIdentifier, "lies ahead"},
		{"two versions", SMEV3, change(sendRequest, "types/basic/1.2", "types/basic/1.1"), at, report.MessageForm, "schema version 1.1"},
		{"test", SMEV3, change(sendRequest, "</t:SenderProvidedRequestData>", "<t:TestMessage/></t:SenderProvidedRequestData>"), at,
			report.MessageForm, "as a test"},
		{"half a selector", SMEV3, change(getRequest, "<b:RootElementLocalName>Question</b:RootElementLocalName>", ""),
			at, report.MessageForm, "go together"},
		{"no time", SMEV3, change(getRequest, "<b:Timestamp>2026-01-15T09:30:00.000+03:00</b:Timestamp>", ""), at,
			report.MessageForm, "no Timestamp"},
		{"odd time", SMEV3, change(getRequest, "2026-01-15T09:30:00.000+03:00", "15.01.2026"), at, report.MessageForm, "xs:dateTime"},
		{"not said whether accepted", SMEV3, `<t:AckRequest xmlns:t="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" ` +
			`xmlns:b="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2"><b:AckTargetMessage Id="x">8c1c</b:AckTargetMessage></t:AckRequest>`,
			at, report.MessageForm, "accepted"},
		{"two contents", SMEV3, change(sendRequest, "</q:Question>", `</q:Question><q:Other xmlns:q="urn:q"/>`), at,
			report.MessageForm, "one element"},
		{"content without Id", SMEV3Personal, change(sendRequest, ` Id="PERSONAL_SIGNATURE"`, ""), at,
			report.MessageForm, "schema must declare"},
		{"attachment in order", SMEV3, with(fmt.Sprintf(attachment, "a1"), fmt.Sprintf(content, "a1", "QUJD")), at, "", ""},
		{"attachment missing", SMEV3, with(fmt.Sprintf(attachment, "a1"), fmt.Sprintf(content, "a2", "QUJD")), at,
			report.MessageForm, "no AttachmentContent"},
		{"contentId", SMEV3, with(fmt.Sprintf(attachment, "1a"), fmt.Sprintf(content, "1a", "QUJD")), at, report.MessageForm, "xs:ID"},
		{"attachments too large", SMEV3,
			with(fmt.Sprintf(attachment, "a1"), fmt.Sprintf(content, "a1", strings.Repeat("QUJD", 2<<20))), at, report.MessageForm, "5 MB"},
		{"prefix in a value", SMEV3, change(sendRequest, "<q:name>",
			`<q:name xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="q:T">`),
			at, report.MessageForm, "xsi:type"},
		{"greater-than", SMEV3, change(sendRequest, ">x<", ">a &gt; b<"), at, report.MessageForm, "'>' in text"},
		{"comment", SMEV3, change(sendRequest, ">x<", ">x<!-- y --><"), at, report.MessageForm, "comments"},
		{"instruction", SMEV3, change(sendRequest, ">x<", "><?y z?><"), at, report.MessageForm, "processing instructions"},
		{"plain Id in SMEV 2", SMEV2, `<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body Id="body"><a/></S:Body></S:Envelope>`,
			at, report.MessageForm, "wsu:Id"},
		{"broken already", SMEV3, string(signed), at, report.SignatureValue, "in the document already"},
		{"no XML", SMEV3, "<a>", at, "", ""},
		{"detached content", Detached, "<a>", at, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []report.Check
			for _, c := range tc.profile.Lint(Input{Document: []byte(tc.doc), Time: tc.at}) {
				if tc.name != "broken already" || c.Code == report.SignatureValue {
					got = append(got, c)
				}
			}
			switch {
			case tc.says == "" && len(got) > 0:
				t.Errorf("%+v", got)
			case tc.says != "" && (len(got) == 0 || got[0].Code != tc.code || !strings.Contains(got[0].Message, tc.says) ||
				got[0].Status != report.Failed || got[0].Place.Line == 0):
				t.Errorf("%+v", got)
			}
		})
	}
}

// Check is Prepare without a key.
func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		profile     *Profile
		doc, target string
		want        report.Code
	}{
		{SMEV3, sendRequest, "", ""},
		{SMEV3Personal, sendRequest, "", ""},
		{XAdESBES, "<a/>", "", ""},
		{SMEV2, `<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body><a/></S:Body></S:Envelope>`, "", ""},
		{Enveloped, `<a Id="x"><b Id="x"/></a>`, "", report.XMLDuplicateID},
		{SMEV3, "<a/>", "", report.TargetMissing},
		{SMEV3, "<a>", "", report.XMLSyntax},
		{SMEV3, "<!DOCTYPE a><a/>", "", report.XMLDoctype},
		{SMEV3, `<?xml version="1.0" encoding="windows-1251"?><a/>`, "", report.XMLEncoding},
		{Enveloped, `<a Id="1x"/>`, "1x", report.RequestInvalid},
		{SMEV3, strings.Replace(sendRequest, "<q:name>", `<q:name xml:lang="ru">`, 1), "", report.ReferenceTransform},
	} {
		err := tc.profile.Check(Input{Document: []byte(tc.doc), Target: tc.target})
		got := report.Code("")
		if err != nil {
			got = asError(err).Code
		}
		if got != tc.want {
			t.Errorf("%s of %.60s: %v, want %s", tc.profile.Name, tc.doc, err, tc.want)
		}
	}
}

func FuzzLint(f *testing.F) {
	for _, doc := range []string{sendRequest, getRequest, "<a/>"} {
		f.Add([]byte(doc), uint8(0))
	}
	f.Fuzz(func(t *testing.T, doc []byte, n uint8) {
		p := Profiles[int(n)%len(Profiles)]
		for _, c := range p.Lint(Input{Document: doc}) {
			if c.Status != report.Failed || c.Message == "" {
				t.Errorf("%+v", c)
			}
		}
		_ = p.Check(Input{Document: doc})
	})
}
