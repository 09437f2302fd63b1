package cms

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
	"testing/iotest"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// same holds what VerifyStream says against what Verify says.
func same(t *testing.T, name string, message []byte, stream io.Reader, policy Policy) {
	t.Helper()
	want, wantErr := Verify(message, policy)
	got, gotErr := VerifyStream(stream, policy)
	if wantErr != nil || gotErr != nil {
		var a, b *report.Error
		if !errors.As(wantErr, &a) || !errors.As(gotErr, &b) || a.Code != b.Code {
			t.Errorf("%s: in memory %v, streamed %v", name, wantErr, gotErr)
		}
		return
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: in memory\n%+v\nstreamed\n%+v", name, want, got)
	}
}

// A message that goes by is judged as one in memory, down to the places.
func TestStreamVectors(t *testing.T) {
	for _, v := range readVectors(t) {
		message, policy := v.message(t), v.policy(t)
		same(t, v.Name, message, bytes.NewReader(message), policy)
		same(t, v.Name+", octet by octet", message, iotest.OneByteReader(bytes.NewReader(message)), policy)
		if policy.Detached {
			policy.Detached, policy.Reader, policy.Content = false, bytes.NewReader(policy.Content), nil
			r, err := VerifyStream(iotest.OneByteReader(bytes.NewReader(message)), policy)
			whole, wholeErr := Verify(message, v.policy(t))
			if (err == nil) != (wholeErr == nil) || err == nil && r.Verdict() != whole.Verdict() {
				t.Errorf("%s with a reader: %v", v.Name, err)
			}
		}
	}
}

// A digest that was not announced is made in a second reading; in a stream that cannot be read again it is missing, and said
// to be.
func TestStreamNotAnnounced(t *testing.T) {
	v := find(t, "openssl-2012-256-cpA-attached")
	message, policy := v.message(t), v.policy(t)
	at := bytes.Index(message, encodeOID(gost.Streebog256.OID))
	message[at+9] = 3 // Streebog-512
	same(t, v.Name, message, bytes.NewReader(message), policy)
	r, err := VerifyStream(bytes.NewReader(message), policy)
	if err != nil || r.Verdict() != report.Valid {
		t.Errorf("%s, %v", r.Verdict(), err)
	}
	r, err = VerifyStream(io.MultiReader(bytes.NewReader(message)), policy)
	if err != nil || r.Verdict() != report.Indeterminate {
		t.Errorf("%s, %v", r.Verdict(), err)
	}
}

func TestStreamErrors(t *testing.T) {
	v := find(t, "openssl-2012-256-cpA-attached")
	message, policy := v.message(t), v.policy(t)
	for n := range message {
		if r, err := VerifyStream(bytes.NewReader(message[:n]), policy); err == nil {
			t.Fatalf("cut at %d: %s", n, r.Verdict())
		}
	}
	broken := errors.New("the disk is broken")
	if _, err := VerifyStream(io.MultiReader(bytes.NewReader(message[:100]), iotest.ErrReader(broken)), policy); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	policy.Reader = iotest.ErrReader(broken)
	if _, err := Verify(message, policy); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func FuzzVerifyStream(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add(v.message(f))
	}
	anchors := readCertificates(f, "2012-256-cpA/root.pem", "2012-512-tc26A/root.pem", "2001-cpA/root.pem")
	policy := Policy{Time: time.Unix(vectors.Time, 0), Trust: trust.New(anchors, nil), Limits: Limits{Signers: 4}}
	f.Fuzz(func(t *testing.T, message []byte) {
		if len(message) > 1<<16 {
			return
		}
		want, wantErr := Verify(message, policy)
		got, gotErr := VerifyStream(bytes.NewReader(message), policy)
		if (wantErr == nil) != (gotErr == nil) {
			t.Fatalf("in memory %v, streamed %v", wantErr, gotErr)
		}
		if wantErr == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("in memory\n%+v\nstreamed\n%+v", want, got)
		}
	})
}
