package signer

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/report"
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
