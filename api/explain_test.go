package api

import (
	"bytes"
	"encoding/base64"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/api/epovpb"
)

func TestExplain(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "admin.example.ru")
	ctx := t.Context()
	signed, err := c.SignXml(ctx, &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack()})
	if err != nil {
		t.Fatal(err)
	}
	explain := func(req *epovpb.ExplainRequest) *epovpb.ExplainResponse {
		t.Helper()
		answer, err := c.Explain(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	document := func(d []byte) *epovpb.ExplainRequest_Document { return &epovpb.ExplainRequest_Document{Document: d} }

	// What is in order has no findings.
	if a := explain(&epovpb.ExplainRequest{Subject: document(signed.Document)}); a.Verdict != epovpb.Verdict_VERDICT_VALID ||
		len(a.Findings) != 0 {
		t.Error(a)
	}

	// The value with its halves swapped.
	open := []byte("<ds:SignatureValue>")
	at := bytes.Index(signed.Document, open) + len(open)
	end := at + bytes.IndexByte(signed.Document[at:], '<')
	value, err := base64.StdEncoding.DecodeString(string(signed.Document[at:end]))
	if err != nil {
		t.Fatal(err)
	}
	swapped := base64.StdEncoding.EncodeToString(slices.Concat(value[32:], value[:32]))
	a := explain(&epovpb.ExplainRequest{Subject: document(slices.Concat(signed.Document[:at], []byte(swapped), signed.Document[end:]))})
	if a.Verdict != epovpb.Verdict_VERDICT_INVALID || len(a.Findings) != 1 || len(a.Findings[0].Mistakes) != 1 {
		t.Fatal(a)
	}
	f := a.Findings[0]
	m := f.Mistakes[0]
	if m.Name != "value.swapped" || m.SentenceEn == "" || m.SentenceRu == "" || m.AdviceEn == "" || m.AdviceRu == "" ||
		f.Reference != nil || f.Subject != "SignedInfo" || f.SmevFault != "SignatureIsInvalid" ||
		f.Code != "signature.value" || f.Place.GetLine() != 1 {
		t.Error(f)
	}

	// Edited content, with the copy that was signed.
	edited := bytes.Replace(signed.Document, []byte("8c1c"), []byte("8c1d"), 1)
	a = explain(&epovpb.ExplainRequest{Subject: document(edited), Pristine: ack()})
	if len(a.Findings) != 1 || a.Findings[0].Mistakes[0].Name != "content.edited" || a.Findings[0].Reference == nil ||
		len(a.Findings[0].Edits) != 1 || a.Findings[0].Edits[0].Kind != "text" || a.Findings[0].Difference.GetStated() == "" {
		t.Error(a.Findings)
	}

	// What is no matter of digests has advice.
	if a := explain(&epovpb.ExplainRequest{Subject: document(ack())}); len(a.Advice) != 1 || a.Advice[0].Code != "signature.none" ||
		a.Advice[0].AdviceEn == "" || a.Advice[0].AdviceRu == "" {
		t.Error(a.Advice)
	}

	// CMS over content with other line ends.
	content := []byte("one\ntwo\n")
	cms, err := c.SignCms(ctx, &epovpb.SignCmsRequest{
		Key: "keys/EXMP01/ov", Profile: "pkcs7-detached", Source: &epovpb.SignCmsRequest_Content{Content: content},
	})
	if err != nil {
		t.Fatal(err)
	}
	a = explain(&epovpb.ExplainRequest{
		Subject: &epovpb.ExplainRequest_Message{Message: cms.Message}, Content: bytes.ReplaceAll(content, []byte("\n"), []byte("\r\n")),
	})
	if a.Verdict != epovpb.Verdict_VERDICT_INVALID || len(a.Findings) != 1 || a.Findings[0].Mistakes[0].Name != "content.line-ends" ||
		a.Findings[0].Subject != "messageDigest" || a.Report.Format != "cms" {
		t.Error(a)
	}

	for name, req := range map[string]struct {
		req  *epovpb.ExplainRequest
		want codes.Code
	}{
		"nothing": {&epovpb.ExplainRequest{}, codes.InvalidArgument},
		"empty":   {&epovpb.ExplainRequest{Subject: document([]byte{})}, codes.InvalidArgument},
		"not XML": {&epovpb.ExplainRequest{Subject: document([]byte("<a>"))}, codes.InvalidArgument},
		"not CMS": {&epovpb.ExplainRequest{Subject: &epovpb.ExplainRequest_Message{Message: []byte("x")}}, codes.InvalidArgument},
		"profile with CMS": {&epovpb.ExplainRequest{Subject: &epovpb.ExplainRequest_Message{Message: cms.Message}, Profile: "smev3"},
			codes.InvalidArgument},
		"unknown profile":   {&epovpb.ExplainRequest{Subject: document(edited), Profile: "smev4"}, codes.InvalidArgument},
		"copy is not XML":   {&epovpb.ExplainRequest{Subject: document(edited), Pristine: []byte("<")}, codes.InvalidArgument},
		"not a certificate": {&epovpb.ExplainRequest{Subject: document(edited), Certificates: [][]byte{{1}}}, codes.InvalidArgument},
	} {
		if _, err := c.Explain(ctx, req.req); status.Code(err) != req.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.dial(t, "spiffe://example.ru/gateway").Explain(ctx,
		&epovpb.ExplainRequest{Subject: document(edited)}); status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
}
