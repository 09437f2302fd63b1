package daemon

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/internal/testpki"
)

// both writes to two handlers.
type both [2]slog.Handler

func (b both) Enabled(context.Context, slog.Level) bool { return true }
func (b both) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(b[0].Handle(ctx, r.Clone()), b[1].Handle(ctx, r.Clone()))
}
func (b both) WithAttrs(a []slog.Attr) slog.Handler {
	return both{b[0].WithAttrs(a), b[1].WithAttrs(a)}
}
func (b both) WithGroup(n string) slog.Handler { return both{b[0].WithGroup(n), b[1].WithGroup(n)} }

// secrets are looked for in everything that leaves the daemon, as they are and in the forms in which they could travel.
type secrets map[string][]string

func (s secrets) add(name, secret string) {
	s[name] = []string{secret, hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))}
	for shift := range min(3, len(secret)-8) { // wherever it begins within groups of three
		encoded := base64.StdEncoding.EncodeToString([]byte(secret[shift:]))
		s[name] = append(s[name], encoded[:(len(secret)-shift)/3*4])
	}
}

func (s secrets) lookIn(t *testing.T, what, text string) {
	t.Helper()
	for name, forms := range s {
		for _, form := range forms {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("%s: %s holds the %s: …%q…", what, what, name, text[max(0, i-150):min(len(text), i+len(form)+50)])
			}
		}
	}
}

// No PIN, no key and nothing of a message is ever in the log, at its most talkative and even before it is redacted, in errors, in
// metrics, in traces or in the audit log, whether calls succeed or fail.
func TestNoSecretLeaves(t *testing.T) {
	p := newPlant(t)
	key := testpki.NewTLSKey(t)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p.pem(t, "server.key", "PRIVATE KEY", der)
	p.pem(t, "server.pem", "CERTIFICATE", p.tls.Issue(t, &key.PublicKey, testpki.Server("epovd.test")).Raw)
	text := strings.NewReplacer("key_token: {token: main, id: tls}", "key: server.key", "[sign-xml, sign-cms, verify, list]",
		"[sign-xml, sign-cms, sign-digest, verify, list]").Replace(p.config) +
		"metrics: {listen: 127.0.0.1:0}\naudit: {directory: audit, name: epov.test/log}\n"

	hidden := secrets{}
	hidden.add("PIN", p.soft.PIN)
	hidden.add("TLS key", string(der[40:64]))
	hidden["TLS key"] = append(hidden["TLS key"], base64.StdEncoding.EncodeToString(der)[40:100])
	const inText, inAttribute, inContent = "Text-of-the-message-7f3a91", "Attribute-of-the-message-55c0e2", "Content-of-the-message-e09d17"
	hidden.add("text of a document", inText)
	hidden.add("attribute of a document", inAttribute)
	hidden.add("content of a message", inContent)

	traces := newReceiver(t)
	text += fmt.Sprintf("traces: {endpoint: %q, percent: 100}\n", traces.addr)
	raw, clean := &await.Log{}, &await.Log{}
	c := p.load(t, text)
	log := slog.New(both{slog.NewTextHandler(raw, &slog.HandlerOptions{Level: slog.LevelDebug}), c.Logger(clean).Handler()})
	d, stop := p.running(t, text, log)
	conn := p.dial(t, d)
	sign, verify := epovpb.NewSignServiceClient(conn), epovpb.NewVerifyServiceClient(conn)
	outcomes := map[bool]int{}
	hear := func(err error) {
		outcomes[err == nil]++
		if s, ok := status.FromError(err); ok && err != nil {
			hidden.lookIn(t, "an error", s.Message()+prototext.Format(s.Proto()))
			for _, detail := range s.Details() {
				hidden.lookIn(t, "a detail of an error", fmt.Sprint(detail))
			}
		}
	}
	body := `<q:Request xmlns:q="urn://example.ru/q" note="` + inAttribute + `">` + inText + `</q:Request>`
	documents := []string{ // errors may name elements, attributes, entities; not what is in them
		`<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Header/><S:Body>` + body + `</S:Body></S:Envelope>`,
		body, body + body, body[:len(body)-2], strings.Replace(body, "</q", "&unknown;</q", 1),
		strings.Replace(body, `">`, `" note="`+inAttribute+`">`, 1),
		"<!DOCTYPE x [<!ENTITY a '" + inText + "'>]>" + body, "\xff" + body, inText, "<a b=" + inText + "></a>",
		"<a>" + inText + "]]></a>", "",
		`<?xml version="1.0" encoding="koi8-r"?>` + body,
	}
	var signed []byte
	for _, document := range documents {
		for _, profile := range []string{"smev2", "smev3", "enveloped", "xades-bes", "none"} {
			out, err := sign.SignXml(t.Context(),
				&epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: profile, Document: []byte(document)})
			hear(err)
			if err == nil {
				signed = out.Document
			}
			_, err = verify.VerifyXml(t.Context(), &epovpb.VerifyXmlRequest{Profile: profile, Document: []byte(document)})
			hear(err)
		}
	}
	for _, changed := range []string{string(signed), strings.Replace(string(signed), inText, inText+"!", 1),
		string(signed[:len(signed)/2])} {
		_, err := verify.VerifyXml(t.Context(), &epovpb.VerifyXmlRequest{Document: []byte(changed)})
		hear(err)
		_, err = verify.Explain(t.Context(), &epovpb.ExplainRequest{Subject: &epovpb.ExplainRequest_Document{Document: []byte(changed)}})
		hear(err)
	}
	for _, profile := range []string{"pkcs7-attached", "pkcs7-detached", "cades-t-attached", "countersignature"} {
		out, err := sign.SignCms(t.Context(), &epovpb.SignCmsRequest{
			Key: "keys/EXMP01/ov", Profile: profile, Source: &epovpb.SignCmsRequest_Content{Content: []byte(inContent)},
		})
		hear(err)
		_, err = verify.VerifyCms(t.Context(),
			&epovpb.VerifyCmsRequest{Message: out.GetMessage(), Content: []byte("other than " + inContent)})
		hear(err)
		_, err = verify.VerifyCms(t.Context(), &epovpb.VerifyCmsRequest{Message: []byte(inContent)})
		hear(err)
	}
	_, err = sign.SignDigest(t.Context(),
		&epovpb.SignDigestRequest{Key: "keys/EXMP01/bare", Digest: []byte(inContent), DigestAlgorithm: "streebog256"})
	hear(err)
	// The token goes away under the daemon.
	if err := d.tokens.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = sign.SignXml(t.Context(), &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "enveloped", Document: []byte(body)})
	hear(err)
	if outcomes[true] < 10 || outcomes[false] < 30 {
		t.Errorf("%d calls succeeded, %d failed", outcomes[true], outcomes[false])
	}
	scraped, err := scrape(t, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	hidden.lookIn(t, "a scrape", scraped)
	stop()
	traces.mutex.Lock()
	defer traces.mutex.Unlock()
	hidden.lookIn(t, "a trace", traces.text.String())
	if len(traces.spans) < 100 {
		t.Errorf("%d spans", len(traces.spans))
	}

	// A start with a wrong PIN, which another token would take.
	hidden.add("wrong PIN", "wrong-pin-31415")
	p.write(t, "pin", []byte("wrong-pin-31415"))
	if d, err := Start(t.Context(), p.load(t, text), log); err == nil {
		d.release()
		t.Error("a wrong PIN is taken")
	} else {
		hidden.lookIn(t, "the error of the start", err.Error())
	}
	hidden.lookIn(t, "the log before it is redacted", raw.String())
	hidden.lookIn(t, "the log", clean.String())
	if n := strings.Count(raw.String(), "\n"); n < 100 || n != strings.Count(clean.String(), "\n") {
		t.Errorf("%d lines of log, %d of it redacted", n, strings.Count(clean.String(), "\n"))
	}
	if strings.Contains(clean.String(), "redacted") || strings.Contains(clean.String(), "characters cut") {
		t.Errorf("something had to be redacted")
	}
	files := 0
	if err := filepath.WalkDir(filepath.Join(string(p.folder), "audit"), func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		files++
		hidden.lookIn(t, "the audit log", string(data))
		return err
	}); err != nil || files == 0 {
		t.Errorf("%d files of the audit log: %v", files, err)
	}
}
