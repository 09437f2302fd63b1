package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/xmldsig"
)

func TestRoundTrips(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "admin.example.ru")
	ctx := t.Context()

	xml, err := c.SignXml(ctx, &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack()})
	if err != nil {
		t.Fatal(err)
	}
	if xml.Key != "keys/EXMP01/ov/versions/1" || len(xml.CertificateFingerprint) != 64 {
		t.Error(xml.Key, xml.CertificateFingerprint)
	}
	verified, err := c.VerifyXml(ctx, &epovpb.VerifyXmlRequest{Document: xml.Document, Profile: "smev3"})
	if err != nil || verified.Verdict != epovpb.Verdict_VERDICT_VALID || verified.Integrity != epovpb.Verdict_VERDICT_VALID {
		t.Fatal(verified, err)
	}
	s := verified.Report.Signatures[0]
	if s.Signer.Fingerprint != xml.CertificateFingerprint || len(s.Coverage) != 1 || s.Coverage[0].Uri != "#SIGNED_BY_CALLER" ||
		s.Coverage[0].Octets == 0 || s.Coverage[0].Place.Line != 1 || s.Verdict != epovpb.Verdict_VERDICT_VALID || len(s.Checks) == 0 {
		t.Error(s)
	}

	// An invalid signature is an answer.
	changed := bytes.Replace(xml.Document, []byte("8c1c"), []byte("8c1d"), 1)
	verified, err = c.VerifyXml(ctx, &epovpb.VerifyXmlRequest{Document: changed})
	if err != nil || verified.Verdict != epovpb.Verdict_VERDICT_INVALID {
		t.Fatal(verified, err)
	}
	var failed *epovpb.Check
	for _, check := range verified.Report.Signatures[0].Checks {
		if check.Status == epovpb.CheckStatus_CHECK_STATUS_FAILED {
			failed = check
		}
	}
	if failed.GetCode() != string(report.ReferenceDigest) || failed.GetSmevFault() != "SignatureIsInvalid" || failed.GetExpected() == "" {
		t.Error(failed)
	}
	// The same signature, after the certificate is over: whole, but not to be trusted.
	later := timestamppb.New(time.Now().AddDate(5, 0, 0))
	verified, err = c.VerifyXml(ctx, &epovpb.VerifyXmlRequest{Document: xml.Document, ValidationTime: later})
	if err != nil || verified.Verdict != epovpb.Verdict_VERDICT_INVALID || verified.Integrity != epovpb.Verdict_VERDICT_VALID {
		t.Error(verified, err)
	}

	// Where the profile leaves a choice, the caller says what must be covered.
	part := []byte(`<a><b Id="part">x</b></a>`)
	xml, err = c.SignXml(ctx, &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "enveloped", Document: part, Target: "part"})
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]epovpb.Verdict{"part": epovpb.Verdict_VERDICT_VALID, "": epovpb.Verdict_VERDICT_INVALID} {
		verified, err = c.VerifyXml(ctx, &epovpb.VerifyXmlRequest{Document: xml.Document, Profile: "enveloped", Target: target})
		if err != nil || verified.Verdict != want {
			t.Error(target, verified, err)
		}
	}

	h := gost.Streebog256.New()
	h.Write([]byte("content"))
	at := timestamppb.New(time.Now().Add(-time.Minute).Truncate(time.Second))
	for _, req := range []*epovpb.SignCmsRequest{
		{Profile: "pkcs7-detached", Source: &epovpb.SignCmsRequest_Content{Content: []byte("content")}, SigningTime: at},
		{Profile: "pkcs7-detached", Source: &epovpb.SignCmsRequest_ContentDigest{ContentDigest: h.Sum(nil)}, SigningTime: at},
		{Profile: "cades-bes-attached", Source: &epovpb.SignCmsRequest_Content{Content: []byte("content")}, SigningTime: at},
		{Profile: "pkcs7-detached", Source: &epovpb.SignCmsRequest_Content{}, SigningTime: at},
	} {
		req.Key = "keys/EXMP01/ov"
		cms, err := c.SignCms(ctx, req)
		if err != nil {
			t.Fatal(req, err)
		}
		check := &epovpb.VerifyCmsRequest{Message: cms.Message, Profile: req.Profile}
		if strings.HasSuffix(req.Profile, "detached") {
			check.Content = []byte("content")
			if _, ok := req.Source.(*epovpb.SignCmsRequest_Content); ok {
				check.Content = append([]byte{}, req.GetContent()...)
			}
		}
		verified, err := c.VerifyCms(ctx, check)
		if err != nil || verified.Verdict != epovpb.Verdict_VERDICT_VALID ||
			!verified.Report.Signatures[0].ClaimedTime.AsTime().Equal(at.AsTime()) {
			t.Error(req, verified, err)
		}
		check.Profile = "cades-t-" + req.Profile[strings.LastIndexByte(req.Profile, '-')+1:]
		if verified, err = c.VerifyCms(ctx, check); err != nil || verified.Verdict != epovpb.Verdict_VERDICT_INVALID {
			t.Error(check.Profile, verified, err)
		}
		check.Profile = "nonsense"
		if _, err = c.VerifyCms(ctx, check); status.Code(err) != codes.InvalidArgument {
			t.Error(err)
		}
	}

	bare, err := c.SignDigest(ctx, &epovpb.SignDigestRequest{Key: "keys/EXMP01/ov", Digest: h.Sum(nil), DigestAlgorithm: "streebog256"})
	if err != nil || bare.Algorithm != "gost2012-256" || w.ring[0].Public().Verify(h.Sum(nil), bare.Signature) != nil {
		t.Error(bare, err)
	}

	keys, err := c.ListKeys(ctx, &epovpb.ListKeysRequest{})
	if err != nil || len(keys.Keys) != 3 || keys.Keys[0].State != epovpb.KeyState_KEY_STATE_USABLE ||
		keys.Keys[2].State != epovpb.KeyState_KEY_STATE_UNUSABLE || keys.Keys[2].StateMessage == "" || !keys.Keys[0].Primary {
		t.Error(keys, err)
	}
	key, err := c.GetKey(ctx, &epovpb.GetKeyRequest{Key: "keys/EXMP01/second"})
	if err != nil || key.Key.Name != "keys/EXMP01/second/versions/3" || key.Key.ParameterSet != "tc26-256-B" {
		t.Error(key, err)
	}
	if cert, err := gost.ParseCertificate(key.GetKey().GetCertificate()); err != nil || !cert.PublicKey.Equal(w.ring[1].Public()) {
		t.Error(cert, err)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t, Limits{MessageBytes: 1 << 16})
	admin, gateway := w.dial(t, "admin.example.ru"), w.dial(t, "spiffe://example.ru/gateway")
	sign := func(c *client, key, profile string, document []byte) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := c.SignXml(ctx, &epovpb.SignXmlRequest{Key: key, Profile: profile, Document: document})
			return err
		}
	}
	twice := bytes.Replace(ack(), []byte("</t:AckRequest>"), []byte("<x Id='SIGNED_BY_CALLER'/></t:AckRequest>"), 1)
	digest := make([]byte, 32)
	for _, tc := range []struct {
		name   string
		do     func(context.Context) error
		code   codes.Code
		reason epovpb.ErrorReason
		field  string
		line   string
	}{
		{"wrong operation", func(ctx context.Context) error {
			_, err := gateway.SignDigest(ctx,
				&epovpb.SignDigestRequest{Key: "keys/EXMP01/ov", Digest: digest, DigestAlgorithm: "streebog256"})
			return err
		}, codes.PermissionDenied, epovpb.ErrorReason_ACCESS_DENIED, "", ""},
		{"wrong key", sign(gateway, "keys/EXMP01/second", "smev3", ack()), codes.PermissionDenied,
			epovpb.ErrorReason_ACCESS_DENIED, "", ""},
		{"unknown key", sign(admin, "keys/EXMP01/none", "smev3", ack()), codes.NotFound, epovpb.ErrorReason_KEY_UNKNOWN, "", ""},
		{"unknown key to a stranger", sign(gateway, "keys/EXMP01/none", "smev3", ack()), codes.PermissionDenied,
			epovpb.ErrorReason_ACCESS_DENIED, "", ""},
		{"expired certificate", sign(admin, "keys/EXMP01/old", "smev3", ack()), codes.FailedPrecondition,
			epovpb.ErrorReason_CERTIFICATE_TIME, "", ""},
		{"unknown profile", sign(gateway, "keys/EXMP01/ov", "smev9", ack()), codes.InvalidArgument,
			epovpb.ErrorReason_REQUEST_INVALID, "profile", ""},
		{"malformed", sign(gateway, "keys/EXMP01/ov", "smev3", []byte("<a>\n<b></a>")), codes.InvalidArgument,
			epovpb.ErrorReason_XML_SYNTAX, "document", "2"},
		{"truncated", sign(gateway, "keys/EXMP01/ov", "smev3", ack()[:300]), codes.InvalidArgument,
			epovpb.ErrorReason_XML_SYNTAX, "document", "1"},
		{"DTD", sign(gateway, "keys/EXMP01/ov", "smev3", []byte("<?xml version='1.0'?>\n<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>")),
			codes.InvalidArgument, epovpb.ErrorReason_XML_DOCTYPE, "document", "2"},
		{"duplicate Ids", sign(gateway, "keys/EXMP01/ov", "smev3", twice), codes.InvalidArgument,
			epovpb.ErrorReason_XML_DUPLICATE_ID, "document", "1"},
		{"nothing to sign", sign(gateway, "keys/EXMP01/ov", "smev3", []byte("<a/>")), codes.InvalidArgument,
			epovpb.ErrorReason_TARGET_MISSING, "document", ""},
		{"too large for the service", sign(gateway, "keys/EXMP01/ov", "smev3", make([]byte, 1<<16+1)),
			codes.InvalidArgument, epovpb.ErrorReason_XML_LIMIT, "document", ""},
		{"neither content nor digest", func(ctx context.Context) error {
			_, err := admin.SignCms(ctx, &epovpb.SignCmsRequest{Key: "keys/EXMP01/ov", Profile: "pkcs7-detached"})
			return err
		}, codes.InvalidArgument, epovpb.ErrorReason_REQUEST_INVALID, "source", ""},
		{"impossible time", func(ctx context.Context) error {
			_, err := admin.VerifyXml(ctx, &epovpb.VerifyXmlRequest{Document: ack(), ValidationTime: &timestamppb.Timestamp{Nanos: -1}})
			return err
		}, codes.InvalidArgument, epovpb.ErrorReason_REQUEST_INVALID, "validation_time", ""},
		{"malformed DER", func(ctx context.Context) error {
			_, err := admin.VerifyCms(ctx, &epovpb.VerifyCmsRequest{Message: []byte{0x30, 0x82, 0x01}})
			return err
		}, codes.InvalidArgument, epovpb.ErrorReason_CMS_SYNTAX, "message", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.do(t.Context())
			info := detail[errdetails.ErrorInfo](err)
			if status.Code(err) != tc.code || info.GetReason() != tc.reason.String() || info.GetDomain() != "epov" {
				t.Fatalf("got %v, %v", err, info)
			}
			if tc.field != "" {
				if bad := detail[errdetails.BadRequest](err); bad == nil || bad.FieldViolations[0].Field != tc.field {
					t.Errorf("BadRequest %v", bad)
				}
			}
			if tc.line != "" && info.Metadata["line"] != tc.line {
				t.Errorf("place %v", info.Metadata)
			}
			// The service goes on serving after bad input.
			if err := sign(gateway, "keys/EXMP01/ov", "smev3", ack())(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	told(t, "too large for the server", sign(gateway, "keys/EXMP01/ov", "smev3", make([]byte, 1<<21))(t.Context()),
		codes.InvalidArgument, "REQUEST_LIMIT", "the limit is")
	for _, level := range []string{"level=ERROR", "panic"} {
		if strings.Contains(w.log.String(), level) {
			t.Errorf("the log has %s:\n%s", level, w.log)
		}
	}
}

func TestWhoMayConnect(t *testing.T) {
	w := newWorld(t, Limits{})
	ask := func(c *client) error {
		_, err := c.ListKeys(t.Context(), &epovpb.ListKeysRequest{})
		return err
	}
	foreign := testpki.NewTLS(t)
	roots := w.tls.Pool()
	for _, tc := range []struct {
		name   string
		config *tls.Config
		code   codes.Code
	}{
		{"known", &tls.Config{Certificates: []tls.Certificate{w.tls.NewClient(t, "admin.example.ru")}}, codes.OK},
		{"no certificate", &tls.Config{}, codes.Unavailable},
		{"certificate of another CA", &tls.Config{Certificates: []tls.Certificate{foreign.NewClient(t, "admin.example.ru")}},
			codes.Unavailable},
		{"server's certificate as client",
			&tls.Config{Certificates: []tls.Certificate{w.tls.NewServer(t, "epovd.test")}}, codes.Unavailable},
		{"TLS 1.2", &tls.Config{Certificates: []tls.Certificate{w.tls.NewClient(t, "admin.example.ru")}, MaxVersion: tls.VersionTLS12},
			codes.Unavailable},
		{"unknown name", &tls.Config{Certificates: []tls.Certificate{w.tls.NewClient(t, "stranger.example.ru")}}, codes.PermissionDenied},
		{"name in the subject only", &tls.Config{Certificates: []tls.Certificate{w.tls.NewClient(t, "")}}, codes.PermissionDenied},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.config.RootCAs, tc.config.ServerName = roots, "epovd.test"
			if err := ask(w.dialTLS(t, tc.config)); status.Code(err) != tc.code {
				t.Errorf("got %v, want %s", err, tc.code)
			}
		})
	}
	if !strings.Contains(w.log.String(), "names=[stranger.example.ru]") {
		t.Error("the log does not name the names of whom it refuses")
	}
	if _, err := New(Config{Service: w.server.signing, TLS: &tls.Config{}}); err == nil {
		t.Error("TLS without client certificates is accepted")
	}
}

func TestHealth(t *testing.T) {
	w := newWorld(t, Limits{})
	c := healthpb.NewHealthClient(w.dial(t, "stranger.example.ru").conn)
	state := func(service string) healthpb.HealthCheckResponse_ServingStatus {
		r, err := c.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		return r.Status
	}
	const up, down = healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING
	if state("") != down || state("epov.v1.SignService") != down {
		t.Error("serving before anybody said so")
	}
	w.server.SetServing(true, nil)
	if state("") != up || state("epov.v1.SignService") != up || state("epov.v1.KeyService") != up {
		t.Error("not serving")
	}
	w.server.SetServing(false, nil)
	if state("") != down || state("epov.v1.SignService") != down || state("epov.v1.VerifyService") != up {
		t.Error("verification needs no token")
	}
}

func TestPanicIsRecovered(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "admin.example.ru")
	req := &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack()}
	for _, v := range []any{"<payload/>", errors.New("<payload/>")} {
		w.ring[0].hook = func(context.Context) error { panic(v) }
		_, err := c.SignXml(t.Context(), req)
		info := detail[errdetails.ErrorInfo](err)
		if status.Code(err) != codes.Internal || info.GetReason() != "INTERNAL" ||
			!strings.Contains(w.log.String(), info.GetMetadata()["incident"]) {
			t.Error(err, info)
		}
	}
	w.ring[0].hook = func(context.Context) error { return errors.New("CKR_DEVICE_ERROR") }
	_, err := c.SignXml(t.Context(), req)
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "CKR") || !strings.Contains(w.log.String(), "CKR_DEVICE_ERROR") {
		t.Error(err)
	}
	w.ring[0].hook = nil
	if _, err := c.SignXml(t.Context(), req); err != nil {
		t.Error(err)
	}
	if strings.Contains(w.log.String(), "<payload/>") {
		t.Error("the log holds what the panic said")
	}
}

func TestDeadlineAndOverload(t *testing.T) {
	w := newWorld(t, Limits{Calls: 1, CallTime: 200 * time.Millisecond})
	c := w.dial(t, "admin.example.ru")
	entered := make(chan struct{}, 8)
	w.ring[0].hook = func(ctx context.Context) error {
		entered <- struct{}{}
		<-ctx.Done() // the deadline reaches the key
		return ctx.Err()
	}
	slow := &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack()}
	done := make(chan error, 1)
	go func() { _, err := c.SignXml(context.Background(), slow); done <- err }()
	<-entered
	quick := &epovpb.SignXmlRequest{Key: "keys/EXMP01/second", Profile: "smev3", Document: ack()}
	_, err := c.SignXml(t.Context(), quick)
	if status.Code(err) != codes.ResourceExhausted || detail[errdetails.RetryInfo](err) == nil ||
		detail[errdetails.ErrorInfo](err).GetReason() != "OVERLOAD" {
		t.Errorf("second call: %v", err)
	}
	if err := <-done; status.Code(err) != codes.DeadlineExceeded || detail[errdetails.ErrorInfo](err).GetReason() != "DEADLINE" {
		t.Errorf("first call: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.SignXml(ctx, slow); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("client's deadline: %v", err)
	}
	await.NoError(t, func() error { // the slot is free again
		_, err := c.SignXml(t.Context(), quick)
		return err
	})
}

// Without TLS there is no identity; only a client that is configured as anyone may do something.
func TestPlain(t *testing.T) {
	w := newWorld(t, Limits{})
	nobody, err := New(Config{Service: w.server.signing})
	if err != nil {
		t.Fatal(err)
	}
	access, err := signer.NewAccess([]signer.Role{{Name: "verify", Grants: []signer.Grant{
		{Operations: []signer.Operation{signer.OpVerify}}}}}, []signer.Client{{Name: "local", Anyone: true, Roles: []string{"verify"}}})
	if err != nil {
		t.Fatal(err)
	}
	service, err := signer.New(signer.Config{Keys: w.ring, Access: access})
	if err != nil {
		t.Fatal(err)
	}
	somebody, err := New(Config{Service: service})
	if err != nil {
		t.Fatal(err)
	}
	for server, want := range map[*Server]codes.Code{nobody: codes.PermissionDenied, somebody: codes.OK} {
		plain := &world{server: server}
		plain.serve(t)
		conn, err := grpc.NewClient(plain.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = epovpb.NewVerifyServiceClient(conn).VerifyXml(t.Context(), &epovpb.VerifyXmlRequest{Document: ack()})
		if status.Code(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// The profiles that the API's documentation names are those that exist.
func TestPublishedProfiles(t *testing.T) {
	proto, err := os.ReadFile("epovpb/epov.proto")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range xmldsig.Profiles {
		names = append(names, p.Name)
	}
	for _, p := range cms.Profiles {
		names = append(names, p.Name)
	}
	published := regexp.MustCompile(`(?m)^  //   ([a-z0-9-]+) {2,}`).FindAllSubmatch(proto, -1)
	for _, m := range published {
		if !slices.Contains(names, string(m[1])) {
			t.Errorf("there is no profile %s", m[1])
		}
	}
	if len(published) != len(names) {
		t.Errorf("%d profiles are published, there are %v", len(published), names)
	}
}

func TestShutdown(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "admin.example.ru")
	entered, leave := make(chan struct{}), make(chan struct{})
	w.ring[0].hook = func(context.Context) error { close(entered); <-leave; return nil }
	done := make(chan error, 1)
	go func() {
		_, err := c.SignXml(context.Background(), &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack()})
		done <- err
	}()
	<-entered
	stopped := make(chan bool, 1)
	go func() { stopped <- w.server.Shutdown(context.Background()) }()
	close(leave)
	if err := <-done; err != nil {
		t.Errorf("the call at work: %v", err)
	}
	if !<-stopped {
		t.Error("the call was cut off")
	}
}
