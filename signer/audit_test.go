package signer

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// fakeLog is an audit log in memory.
type fakeLog struct {
	mu      sync.Mutex
	records []audit.Record
	down    error // what Ready says
	fail    error // what Record says
}

func (l *fakeLog) Ready() error { return l.down }

func (l *fakeLog) Record(ctx context.Context, r audit.Record) (audit.Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return audit.Entry{}, l.fail
	}
	l.records = append(l.records, r)
	return audit.Entry{Log: "test.example/audit", Index: uint64(len(l.records) - 1)}, nil
}

func audited(t *testing.T, parties ...party) (*world, *fakeLog) {
	w, log := newWorld(t, parties...), &fakeLog{}
	w.Service.audit = log
	return w, log
}

func TestEverySignatureIsRecorded(t *testing.T) {
	w, log := audited(t)
	digest := make([]byte, 32)
	out, err := w.SignDigest(t.Context(), w.admin, SignDigestRequest{
		Key: "keys/EXMP01/ov", Digest: digest, DigestAlgorithm: "streebog256",
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(log.records) != 1 || !out.Audit.Recorded() || out.Audit.Index != 0 {
		t.Fatalf("%d records, entry %v", len(log.records), out.Audit)
	}
	r := log.records[0]
	if r.Kind != audit.Signature || r.Outcome != audit.Done || r.Caller != "admin" || r.Operation != "sign-digest" ||
		r.Key != "keys/EXMP01/ov/versions/2" || r.Certificate != out.Fingerprint || r.Signature != hashOf(out.Bytes) {
		t.Errorf("%+v", r)
	}
	if len(r.Digests) != 1 || r.Digests[0] != (audit.Digest{Of: "signed", Algorithm: "streebog256", Value: strings.Repeat("00", 32)}) {
		t.Errorf("digests %+v", r.Digests)
	}
}

func TestRefusalsOfKnownCallersAreRecorded(t *testing.T) {
	w, log := audited(t, party{name: "nobody", san: "nobody.example.ru"})
	request := SignXMLRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: []byte("<secret/>")}
	for _, caller := range []*Caller{nil, w.caller(t, "nobody.example.ru")} {
		if _, err := w.SignXML(t.Context(), caller, request); err == nil {
			t.Fatal("signed")
		}
	}
	if len(log.records) != 1 {
		t.Fatalf("%d records: callers that were not recognised must leave none", len(log.records))
	}
	r := log.records[0]
	if r.Kind != audit.Refusal || r.Outcome != string(report.AccessDenied) || r.Caller != "nobody" || r.Signature != "" {
		t.Errorf("%+v", r)
	}
	if strings.Contains(string(r.Append(nil)), "secret") {
		t.Error("the record has payload in it")
	}
}

func TestNoRecordNoSignature(t *testing.T) {
	w, log := audited(t)
	request := SignDigestRequest{Key: "keys/EXMP01/ov", Digest: make([]byte, 32), DigestAlgorithm: "streebog256"}
	log.fail = report.Errorf(report.AuditUnavailable, report.Place{}, "the disk is full")
	out, err := w.SignDigest(t.Context(), w.admin, request)
	var e *report.Error
	if !errors.As(err, &e) || e.Code != report.AuditUnavailable || out.Bytes != nil {
		t.Fatalf("%q, %v", out.Bytes, err)
	}
	signed := w.ring[1].count
	log.fail, log.down = nil, log.fail
	if _, err := w.SignDigest(t.Context(), w.admin, request); err == nil {
		t.Fatal("signed without a log")
	}
	if w.ring[1].count != signed {
		t.Error("the token was troubled for a signature that cannot be released")
	}
	log.down = nil
	if _, err := w.SignDigest(t.Context(), w.admin, request); err != nil {
		t.Fatal(err)
	}
}

// provingLog is a fakeLog that gives receipts.
type provingLog struct{ fakeLog }

func (l *provingLog) Receipt(_ context.Context, index uint64) (*audit.Receipt, error) {
	if index >= uint64(len(l.records)) {
		return nil, report.Errorf(report.RecordUnknown, report.Place{}, "no record %d", index)
	}
	return &audit.Receipt{Index: index, Record: l.records[index]}, nil
}

func (l *provingLog) Find(caller, request string) (uint64, error) {
	for i, r := range l.records {
		if r.Caller == caller && r.Request == request {
			return uint64(i), nil
		}
	}
	return 0, report.Errorf(report.RecordUnknown, report.Place{}, "no request %s", request)
}

func (l *provingLog) Checkpoint() ([]byte, error) { return []byte("checkpoint"), nil }
func (l *provingLog) VerifierKey() string         { return "key" }

// TestReceiptsAreTheirOwners gives receipts to those whose records they are, and to auditors.
func TestReceiptsAreTheirOwners(t *testing.T) {
	w := newWorld(t,
		party{name: "owner", san: "owner.example.ru"}, party{name: "other", san: "other.example.ru"})
	owner, other := w.caller(t, "owner.example.ru"), w.caller(t, "other.example.ru")
	if _, err := w.Receipt(t.Context(), owner, 0); code(err) != string(report.RequestInvalid) || w.Audited() {
		t.Errorf("without a log: %v", err)
	}
	log := &provingLog{}
	w.Service.audit = log
	if !w.Audited() {
		t.Error("receipts are not promised")
	}
	log.records = []audit.Record{{Kind: audit.Signature, Caller: "owner", Request: "r1"}}
	for _, tc := range []struct {
		name   string
		caller *Caller
		want   string
	}{
		{"owner", owner, "ok"}, {"another client", other, string(report.AccessDenied)}, {"auditor", w.admin, "ok"},
		{"nobody", nil, string(report.AccessDenied)},
	} {
		if r, err := w.Receipt(t.Context(), tc.caller, 0); code(err) != tc.want || err != nil && r != nil {
			t.Errorf("%s by index: %v, %v", tc.name, r, err)
		}
		if _, err := w.ReceiptFor(t.Context(), tc.caller, "owner", "r1"); code(err) != tc.want {
			t.Errorf("%s by request: %v", tc.name, err)
		}
	}
	if _, err := w.ReceiptFor(t.Context(), owner, "", "r1"); err != nil {
		t.Error(err)
	}
	if _, err := w.ReceiptFor(t.Context(), other, "", "r1"); code(err) != string(report.RecordUnknown) {
		t.Errorf("another client's request id: %v", err)
	}
	if _, _, err := w.Checkpoint(nil); code(err) != string(report.AccessDenied) {
		t.Error(err)
	}
	if c, key, err := w.Checkpoint(other); err != nil || string(c) != "checkpoint" || key != "key" {
		t.Error(c, key, err)
	}
}

// TestRecordsHoldDigestsOfContents: a record leads to what was signed, however it was.
func TestRecordsHoldDigestsOfContents(t *testing.T) {
	w, log := audited(t)
	content := []byte("a letter")
	ctx, now := t.Context(), time.Now()
	sign := func(profile string, in []byte) Signed {
		t.Helper()
		out, err := w.SignCMS(ctx, w.admin, SignCMSRequest{Key: "keys/EXMP01/ov", Profile: profile, Content: in, Time: now})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	last := func(want ...[]byte) {
		t.Helper()
		r := log.records[len(log.records)-1]
		if len(r.Digests) != 1+len(want) || r.Digests[0].Of != audit.OfSigned {
			t.Fatalf("%s: %+v", r.Profile, r.Digests)
		}
		for i, value := range want {
			if d := r.Digests[1+i]; d != (audit.Digest{Of: audit.OfContent, Algorithm: "streebog256", Value: hex.EncodeToString(value)}) {
				t.Errorf("%s: %+v, want %x", r.Profile, d, value)
			}
		}
	}
	sum := func(data []byte) []byte {
		h := gost.Streebog256.New()
		h.Write(data)
		return h.Sum(nil)
	}
	sign("pkcs7-attached", content)
	last(sum(content))
	letter := sign("cades-bes-detached", content)
	last(sum(content))
	parts, err := cms.Dissect(letter.Bytes, cms.Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	counter := sign("countersignature", letter.Bytes)
	last(sum(parts.Signers[0].Signature))
	if parts, err = cms.Dissect(counter.Bytes, cms.Limits{}, nil); err != nil {
		t.Fatal(err)
	}
	if c := parts.Signers[0].Countersignatures; len(c) != 1 || hashOf(c[0].Signature) != log.records[len(log.records)-1].Signature {
		t.Errorf("countersignatures %+v", c)
	}
	if _, err := w.SignCMS(ctx, w.admin, SignCMSRequest{
		Key: "keys/EXMP01/ov", Profile: "pkcs7-detached", ByDigest: true, Digest: sum(content), Time: now,
	}); err != nil {
		t.Fatal(err)
	}
	last(sum(content))
	for _, profile := range []string{"pkcs7-attached", "pkcs7-detached"} {
		if _, err := w.SignCMSStream(ctx, w.admin,
			SignCMSStreamRequest{Key: "keys/EXMP01/ov", Profile: profile, Size: UnknownSize, Time: now},
			bytes.NewReader(content), io.Discard); err != nil {
			t.Fatal(err)
		}
		last(sum(content))
	}
	for profile, target := range map[string]string{"smev3": "", "xades-bes": "", "enveloped": "", "detached": "file.bin"} {
		out, err := w.SignXML(ctx, w.admin,
			SignXMLRequest{Key: "keys/EXMP01/ov", Profile: profile, Document: unsigned(), Target: target, Time: now})
		if err != nil {
			t.Fatal(err)
		}
		xml, err := xmldsig.Dissect(out.Bytes, xmltext.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		value, err := base64.StdEncoding.DecodeString(xml[0].References[0].Value)
		if err != nil {
			t.Fatal(err)
		}
		last(value)
		if profile == "detached" {
			last(sum(unsigned()))
		}
	}
}
