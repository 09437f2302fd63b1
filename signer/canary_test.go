package signer

import (
	"bytes"
	"errors"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// A canary signature is verified and dropped, over another digest each time, which nobody has chosen.
func TestCanary(t *testing.T) {
	w := newWorld(t, party{name: "probe", san: "probe.example.ru"})
	for _, name := range []string{"keys/EXMP01/ov", "keys/EXMP01/big", "keys/EXMP01/bare"} {
		out, err := w.SignCanary(t.Context(), w.admin, name, []byte("nonce"))
		if err != nil || out.Key == "" || out.Algorithm == "" {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	key, _ := w.ring.Key("keys/EXMP01/ov")
	c, again := newCanary(key.Public(), []byte("nonce")), newCanary(key.Public(), []byte("nonce"))
	if bytes.Equal(c.Digest(), again.Digest()) || len(c.Digest()) != key.Public().Algorithm.Digest.Size {
		t.Errorf("digests %x and %x", c.Digest(), again.Digest())
	}
	if value, err := c.CompleteVerified(gost.Verified{}); err == nil || value != nil {
		t.Error("a wrong signature passes")
	}
	refused := func(what string, err error, code report.Code) {
		t.Helper()
		if e, ok := errors.AsType[*report.Error](err); !ok || e.Code != code {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := w.SignCanary(t.Context(), w.caller(t, "probe.example.ru"), "keys/EXMP01/ov", nil)
	refused("no right", err, report.AccessDenied)
	_, err = w.SignCanary(t.Context(), w.admin, "keys/EXMP01/ov", make([]byte, maxNonce+1))
	refused("a long nonce", err, report.RequestInvalid)
	refused("monitoring without right",
		w.Monitor(t.Context(), w.caller(t, "probe.example.ru"), func() error { return nil }), report.AccessDenied)
}
