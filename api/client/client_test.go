package client_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/api/client"
	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/gost"
)

func TestSignAndVerify(t *testing.T) {
	w := newWorld(t)
	c := w.dial(t)
	signed, err := c.SignSMEV3(t.Context(), "keys/EXMP01/ov", message())
	if err != nil {
		t.Fatal(err)
	}
	if signed.GetKey() != keyVersion {
		t.Errorf("signed by %s", signed.GetKey())
	}
	if _, err := c.VerifyXML(t.Context(), &pb.VerifyXmlRequest{Document: signed.GetDocument()}); err != nil {
		t.Error(err)
	}
	broken := bytes.Replace(signed.GetDocument(), []byte("8c1c0a10"), []byte("8c1c0a11"), 1)
	answer, err := c.VerifyXML(t.Context(), &pb.VerifyXmlRequest{Document: broken})
	invalid, ok := errors.AsType[*client.InvalidError](err)
	if !ok || invalid.Verdict != pb.Verdict_VERDICT_INVALID || answer.GetReport() == nil {
		t.Errorf("a changed message: %v", err)
	}
	attached, err := c.SignCMS(t.Context(), &pb.SignCmsRequest{
		Key: "keys/EXMP01/ov", Profile: "pkcs7-attached", Source: &pb.SignCmsRequest_Content{Content: []byte("content")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.VerifyCMS(t.Context(), &pb.VerifyCmsRequest{Message: attached.GetMessage()}); err != nil {
		t.Error(err)
	}
}

func TestCapabilities(t *testing.T) {
	c := newWorld(t).dial(t)
	answer, err := c.Capabilities(t.Context())
	if err != nil || answer.GetLimits().GetMessageBytes() == 0 || answer.GetCaller() != "gateway" {
		t.Errorf("%v, %v", answer, err)
	}
}

// TestRepeated sends the same request again, as after a crash of the caller.
func TestRepeated(t *testing.T) {
	c := newWorld(t).dial(t)
	req := &pb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: message()}
	first, err := c.SignXML(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.SignXML(t.Context(), req)
	if err != nil || !bytes.Equal(first.GetDocument(), again.GetDocument()) || !again.GetAct().GetReplayed() {
		t.Errorf("another signature, %v", err)
	}
	req.Document = append(message(), ' ')
	req.DocumentCrc32C = nil
	if _, err := c.SignXML(t.Context(), req); !errors.Is(err, client.Because(pb.ErrorReason_REQUEST_ID_REUSED)) {
		t.Errorf("another document under the same id: %v", err)
	}
}

// TestStreams goes through the service itself, batches and content of a size that needs streams.
func TestStreams(t *testing.T) {
	c := newWorld(t).dial(t)
	n := 0
	for answer, err := range c.SignAll(t.Context(), func(yield func(*pb.SignXmlRequest) bool) {
		for range 100 {
			if !yield(&pb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: message()}) {
				return
			}
		}
	}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if n == 1 {
			if _, err := c.VerifyXML(t.Context(), &pb.VerifyXmlRequest{Document: answer.GetDocument()}); err != nil {
				t.Error(err)
			}
		}
	}
	if n != 100 {
		t.Errorf("%d answers", n)
	}
	content := make([]byte, 3<<20)
	rand.Read(content)
	var signed bytes.Buffer
	end, err := c.SignCMSStream(t.Context(), &pb.SignCmsHeader{Key: "keys/EXMP01/ov", Profile: "pkcs7-detached"},
		bytes.NewReader(content), &signed)
	if err != nil || end.GetKey() != keyVersion {
		t.Fatal(err)
	}
	if _, err := c.VerifyCMS(t.Context(), &pb.VerifyCmsRequest{Message: signed.Bytes(), Content: content}); err != nil {
		t.Error(err)
	}
}

func TestErrors(t *testing.T) {
	c := newWorld(t).dial(t)
	_, err := c.SignSMEV3(t.Context(), "keys/EXMP01/ov", []byte("<a>\n  <b></a>"))
	e := client.AsError(err)
	if e == nil {
		t.Fatal(err)
	}
	if e.Reason != pb.ErrorReason_XML_SYNTAX || e.Place.Line != 2 || e.Field != "document" || e.SMEVFault == "" ||
		e.Russian == "" || e.RetryAfter != 0 {
		t.Errorf("%+v", *e)
	}
	if !errors.Is(err, client.Because(pb.ErrorReason_XML_SYNTAX)) || errors.Is(err, client.Because(pb.ErrorReason_XML_LIMIT)) {
		t.Error("errors.Is does not go by the reason")
	}
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("gRPC sees %v", status.Code(err))
	}
	if client.AsError(errors.New("another")) != nil {
		t.Error("an error of no call is read")
	}
}

func TestSigner(t *testing.T) {
	c := newWorld(t).dial(t)
	key, err := c.Signer(t.Context(), "keys/EXMP01/ov")
	if err != nil {
		t.Fatal(err)
	}
	public := key.Public().(*gost.PublicKey)
	if key.Name() != keyVersion || !public.Equal(key.Certificate().PublicKey) {
		t.Errorf("%s", key.Name())
	}
	signature, err := key.SignMessage(nil, []byte("message"), nil)
	if err != nil {
		t.Fatal(err)
	}
	h := public.Algorithm.Digest.New()
	h.Write([]byte("message"))
	if err := public.Verify(h.Sum(nil), signature); err != nil {
		t.Error(err)
	}
	if _, err := key.Sign(nil, make([]byte, 20), nil); err == nil {
		t.Error("a digest of 20 octets is signed")
	}
	if _, err := c.Signer(t.Context(), "keys/EXMP01/other"); !errors.Is(err, client.Because(pb.ErrorReason_KEY_UNKNOWN)) {
		t.Error(err)
	}
}

// TestReloadedFiles exchanges the client's certificate: the next connection uses it, and files that do not fit together
// leave the last good ones in force.
func TestReloadedFiles(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	paths := clientFiles(t, w.tls, dir, "spiffe://example.ru/stranger")
	list := func() error { // a new connection each time, over the same TLS
		c := dial(t, client.Config{Addresses: []string{w.address}, TLS: client.Files(paths[0], paths[1], paths[2])})
		_, err := c.Keys.ListKeys(t.Context(), &pb.ListKeysRequest{})
		return err
	}
	if err := list(); !errors.Is(err, client.Because(pb.ErrorReason_ACCESS_DENIED)) {
		t.Fatalf("a stranger: %v", err)
	}
	shared := client.Files(paths[0], paths[1], paths[2])
	reconnect := func() error {
		c := dial(t, client.Config{Addresses: []string{w.address}, TLS: shared})
		_, err := c.Keys.ListKeys(t.Context(), &pb.ListKeysRequest{})
		return err
	}
	if err := reconnect(); !errors.Is(err, client.Because(pb.ErrorReason_ACCESS_DENIED)) {
		t.Fatalf("a stranger: %v", err)
	}
	pair := w.tls.NewClient(t, anyClient)
	time.Sleep(10 * time.Millisecond) // another time of change
	files(t, w.tls, dir, pair)
	if err := reconnect(); err != nil {
		t.Fatalf("the new certificate: %v", err)
	}
	if err := os.WriteFile(paths[1], []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := reconnect(); err != nil {
		t.Errorf("the last good files: %v", err)
	}
	if _, err := client.Dial(client.Config{Addresses: []string{w.address}, TLS: client.Files(paths[0], paths[1], paths[2])}); err == nil {
		t.Error("a client starts with a key that cannot be read")
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]client.Config{
		"no address":     {Insecure: true},
		"no TLS":         {Addresses: []string{"127.0.0.1:1"}},
		"plain far away": {Addresses: []string{"192.0.2.1:1"}, Insecure: true},
		"both":           {Addresses: []string{"127.0.0.1:1"}, Insecure: true, TLS: client.Files("a", "b", "c")},
		"balance":        {Addresses: []string{"127.0.0.1:1"}, Insecure: true, Balance: "fair"},
		"port":           {Addresses: []string{"127.0.0.1", "127.0.0.2"}, Insecure: true},
		"attempts":       {Addresses: []string{"127.0.0.1:1"}, Insecure: true, Attempts: -1},
	} {
		if _, err := client.Dial(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestDeadline sees that a call without a deadline gets one.
func TestDeadline(t *testing.T) {
	l := listen(t) // nobody answers there
	defer l.Close()
	c := dial(t, client.Config{Addresses: []string{l.Addr().String()}, Insecure: true,
		Timeout: 50 * time.Millisecond, Health: client.NoHealth})
	_, err := c.Keys.ListKeys(context.Background(), &pb.ListKeysRequest{})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v", err)
	}
}
