package api

import (
	"bytes"
	"context"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer/report"
)

// A request id makes a repetition get the same answer, over any of the ways.
func TestRequestIds(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "admin.example.ru")
	req := &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack(), RequestId: "one"}
	first, err := c.SignXml(t.Context(), req)
	if err != nil || first.Act.Replayed {
		t.Fatal(first, err)
	}
	again, err := c.SignXml(t.Context(), req)
	if err != nil || !again.Act.Replayed || !bytes.Equal(again.Document, first.Document) {
		t.Error(again, err)
	}
	batch, err := c.signBatch(t.Context(), &epovpb.SignItem{CorrelationId: 7, Request: &epovpb.SignItem_Xml{Xml: req}})
	if err != nil || !batch[7].GetXml().GetAct().GetReplayed() || !bytes.Equal(batch[7].GetXml().GetDocument(), first.Document) {
		t.Error(batch, err)
	}
	req.Profile = "enveloped"
	if _, err := c.SignXml(t.Context(), req); status.Code(err) != codes.AlreadyExists ||
		detail[errdetails.ErrorInfo](err).GetReason() != "REQUEST_ID_REUSED" {
		t.Error(err)
	}
	var one, two bytes.Buffer
	ask := func(to *bytes.Buffer) *epovpb.SignCmsEnd {
		end, err := c.signStream(t.Context(), to, list(signHeader(&epovpb.SignCmsHeader{
			Key: "keys/EXMP01/ov", Profile: "pkcs7-attached", RequestId: "stream"}), signChunk([]byte("content")), signEnd(nil)))
		if err != nil {
			t.Fatal(err)
		}
		return end
	}
	if a, b := ask(&one), ask(&two); a.Act.Replayed || !b.Act.Replayed || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error(a, b)
	}
}

func TestChecksums(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "admin.example.ru")
	digest := make([]byte, 32)
	sum, digestSum, wrong := sumOf(ack()), sumOf(digest), uint32(0)
	xml := &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack(), DocumentCrc32C: &sum}
	x, err := c.SignXml(t.Context(), xml)
	if err != nil || !x.VerifiedDocumentCrc32C || x.GetDocumentCrc32C() != sumOf(x.Document) {
		t.Error(x, err)
	}
	cms := &epovpb.SignCmsRequest{Key: "keys/EXMP01/ov", Profile: "pkcs7-detached", ContentCrc32C: &sum,
		Source: &epovpb.SignCmsRequest_Content{Content: ack()}}
	m, err := c.SignCms(t.Context(), cms)
	if err != nil || !m.VerifiedContentCrc32C || m.GetMessageCrc32C() != sumOf(m.Message) {
		t.Error(m, err)
	}
	byDigest := &epovpb.SignCmsRequest{Key: "keys/EXMP01/ov", Profile: "pkcs7-detached", ContentCrc32C: &digestSum,
		Source: &epovpb.SignCmsRequest_ContentDigest{ContentDigest: digest}}
	if m, err := c.SignCms(t.Context(), byDigest); err != nil || !m.VerifiedContentCrc32C {
		t.Error(m, err)
	}
	bare := &epovpb.SignDigestRequest{Key: "keys/EXMP01/ov", Digest: digest, DigestAlgorithm: "streebog256", DigestCrc32C: &digestSum}
	d, err := c.SignDigest(t.Context(), bare)
	if err != nil || !d.VerifiedDigestCrc32C || d.GetSignatureCrc32C() != sumOf(d.Signature) {
		t.Error(d, err)
	}
	xml.DocumentCrc32C, cms.ContentCrc32C, bare.DigestCrc32C = &wrong, &wrong, &wrong
	for name, call := range map[string]func() error{
		"document_crc32c": func() error { _, err := c.SignXml(t.Context(), xml); return err },
		"content_crc32c":  func() error { _, err := c.SignCms(t.Context(), cms); return err },
		"digest_crc32c":   func() error { _, err := c.SignDigest(t.Context(), bare); return err },
	} {
		err := call()
		if bad := detail[errdetails.BadRequest](err).GetFieldViolations(); detail[errdetails.ErrorInfo](err).GetReason() != "REQUEST_CHECKSUM" ||
			len(bad) != 1 || bad[0].Field != name {
			t.Errorf("%s: %v, %v", name, err, bad)
		}
	}
	xml.DocumentCrc32C = nil
	if x, err := c.SignXml(t.Context(), xml); err != nil || x.VerifiedDocumentCrc32C || x.DocumentCrc32C != nil {
		t.Error(x, err)
	}
}

func TestCapabilities(t *testing.T) {
	w := newWorld(t, Limits{MessageBytes: 1 << 20, BatchItems: 7})
	caps, err := w.dial(t, "spiffe://example.ru/gateway").GetCapabilities(t.Context(), &epovpb.GetCapabilitiesRequest{})
	if err != nil || caps.Caller != "gateway" || len(caps.Operations) != 1 || caps.Operations[0] != "sign-xml" {
		t.Fatal(caps, err)
	}
	if l := caps.Limits; l.MessageBytes != 1<<20 || l.BatchItems != 7 || l.StreamBytes == 0 || l.ChunkBytes == 0 ||
		l.CallTime.AsDuration() != time.Minute {
		t.Error(l)
	}
	if r := caps.RequestIds; r.Entries == 0 || r.Bytes == 0 || r.TimeToLive.AsDuration() <= 0 {
		t.Error(r)
	}
	if caps.Audit || caps.TimeStamps || time.Since(caps.Time.AsTime()).Abs() > time.Minute || len(caps.Algorithms) < 3 {
		t.Error(caps)
	}
	// What is offered is made, and by stream where that is said.
	admin := w.dial(t, "admin.example.ru")
	for _, p := range caps.Profiles {
		if p.Format != "cms" || p.Name == "countersignature" {
			continue
		}
		_, err := admin.signStream(t.Context(), &bytes.Buffer{},
			list(signHeader(&epovpb.SignCmsHeader{Key: "keys/EXMP01/ov", Profile: p.Name}), signEnd(nil)))
		if (err == nil) != p.Stream || p.TimeStamp {
			t.Error(p, err)
		}
	}
	if _, err := w.dial(t, "stranger.example.ru").GetCapabilities(t.Context(),
		&epovpb.GetCapabilitiesRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
}

func TestWatchKeys(t *testing.T) {
	w := newWorld(t, Limits{})
	watch, err := w.dial(t, "admin.example.ru").WatchKeys(t.Context(), &epovpb.WatchKeysRequest{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := watch.Recv()
	if err != nil || len(m.Keys) != 3 || len(m.Removed) != 0 {
		t.Fatal(m, err)
	}
	away := error(report.Errorf(report.TokenAway, report.Place{}, "the token cannot be reached"))
	w.ring[0].away.Store(&away)
	w.server.KeysChanged()
	if m, err := watch.Recv(); err != nil || len(m.Keys) != 1 || m.Keys[0].Name != w.ring[0].name ||
		m.Keys[0].State != epovpb.KeyState_KEY_STATE_AWAY {
		t.Error(m, err)
	}
	w.ring[0].away.Store(nil)
	w.server.KeysChanged()
	if m, err := watch.Recv(); err != nil || len(m.Keys) != 1 || m.Keys[0].State != epovpb.KeyState_KEY_STATE_USABLE {
		t.Error(m, err)
	}
	if _, err := w.dial(t, "stranger.example.ru").WatchKeys(t.Context(), &epovpb.WatchKeysRequest{}); err != nil {
		t.Error(err) // the refusal comes with the first message
	}
}

// Whatever is called, the refusal has its reason.
func TestUnknownMethods(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "admin.example.ru")
	for _, method := range []string{"/epov.v1.SignService/Nothing", "/no.such.Service/X",
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"} {
		err := c.conn.Invoke(t.Context(), method, &epovpb.ListKeysRequest{}, new(epovpb.ListKeysResponse))
		if status.Code(err) != codes.Unimplemented || detail[errdetails.ErrorInfo](err).GetReason() != "METHOD_UNKNOWN" {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestReflection(t *testing.T) {
	w := newWorld(t, Limits{})
	server, err := New(Config{Service: w.server.signing, TLS: MutualTLS(w.tls.NewServer(t, "epovd.test"), w.tls.Pool()),
		Logger: w.server.log, Reflection: true})
	if err != nil {
		t.Fatal(err)
	}
	reflecting := &world{server: server, tls: w.tls}
	reflecting.serve(t)
	ask := func(w *world, san string) (*reflectionpb.ServerReflectionResponse, error) {
		stream, err := reflectionpb.NewServerReflectionClient(w.dial(t, san).conn).ServerReflectionInfo(t.Context(),
			grpc.WaitForReady(true))
		if err != nil {
			return nil, err
		}
		stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "epov.v1.SignService"}})
		return stream.Recv()
	}
	if r, err := ask(reflecting, "admin.example.ru"); err != nil || len(r.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Error(r, err)
	}
	if _, err := ask(reflecting, "stranger.example.ru"); status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
	if _, err := ask(w, "admin.example.ru"); status.Code(err) != codes.Unimplemented {
		t.Error(err)
	}
}

// The service's own refusal, with its cause, comes before the caller's clock strikes.
func TestReserveOfTime(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "admin.example.ru")
	w.ring[0].hook = func(ctx context.Context) error {
		<-ctx.Done()
		return report.Errorf(report.Deadline, report.Place{}, "the queue is too long")
	}
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, err := c.SignXml(ctx, &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack()})
		cancel()
		if status.Code(err) == codes.DeadlineExceeded && detail[errdetails.ErrorInfo](err).GetReason() == "DEADLINE" {
			return // on a machine that is busy it may be late now and then
		}
	}
	t.Error("the caller's clock was first every time")
}
