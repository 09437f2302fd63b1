package api

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/api/epovpb"
)

func TestCheckSign(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "admin.example.ru")
	ctx := t.Context()
	document := func(d string) *epovpb.CheckSignRequest_Document {
		return &epovpb.CheckSignRequest_Document{Document: []byte(d)}
	}

	a, err := c.CheckSign(ctx, &epovpb.CheckSignRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Source: document(string(ack()))})
	if err != nil || !a.Ready || a.Key != "keys/EXMP01/ov/versions/1" || len(a.CertificateFingerprint) != 64 || len(a.Checks) == 0 {
		t.Fatal(a, err)
	}
	a, err = c.CheckSign(ctx, &epovpb.CheckSignRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Source: document("<a/>")})
	if err != nil || a.Ready {
		t.Fatal(a, err)
	}
	var failed *epovpb.Check
	for _, check := range a.Checks {
		if check.Status == epovpb.CheckStatus_CHECK_STATUS_FAILED {
			failed = check
		}
	}
	if failed.GetCode() != "target.missing" || failed.GetSmevFault() != "IncorrectSignatureTarget" || failed.GetSentenceRu() == "" {
		t.Error(failed)
	}
	for _, source := range []*epovpb.CheckSignRequest{
		{Source: &epovpb.CheckSignRequest_Content{Content: []byte("x")}},
		{Source: &epovpb.CheckSignRequest_ContentDigest{ContentDigest: make([]byte, 32)}},
	} {
		source.Key, source.Profile = "keys/EXMP01/ov", "pkcs7-detached"
		if a, err := c.CheckSign(ctx, source); err != nil || !a.Ready {
			t.Error(a, err)
		}
	}
	for name, req := range map[string]*epovpb.CheckSignRequest{
		"nothing to sign": {Key: "keys/EXMP01/ov", Profile: "smev3"},
		"no profile":      {Key: "keys/EXMP01/ov", Source: document("<a/>")},
	} {
		if _, err := c.CheckSign(ctx, req); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	gateway := w.dial(t, "spiffe://example.ru/gateway")
	if _, err := gateway.CheckSign(ctx, &epovpb.CheckSignRequest{
		Key: "keys/EXMP01/ov", Profile: "pkcs7-detached", Source: &epovpb.CheckSignRequest_Content{},
	}); status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
}
