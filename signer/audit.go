package signer

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/report"
)

// Auditor keeps the audit log. Safe for concurrent use. Errors are *report.Error, AuditUnavailable or Overload where the log
// takes no records.
type Auditor interface {
	// Ready is nil when a record would be taken now, as far as is known: asked before a token is troubled.
	Ready() error
	// Record returns when the record is as durable as the log's policy wants for its kind. Records of signatures wait, those of
	// refusals do not, and may be left out when a caller is refused often: a later record tells how many were. The entry is the
	// zero Entry when its place is not known on return.
	Record(ctx context.Context, r audit.Record) (audit.Entry, error)
}

// keep records a signature before anybody sees it.
func (s *Service) keep(ctx context.Context, a *act) error {
	if s.audit == nil {
		return nil
	}
	entry, err := s.audit.Record(ctx, a.auditRecord(s.now(), nil))
	if err != nil {
		return asError(err)
	}
	a.entry = entry
	return nil
}

// tell records a refusal. Callers that were not recognised leave no record: whoever reaches the port could fill the log.
func (s *Service) tell(ctx context.Context, a *act, refused error) {
	if s.audit == nil || a.caller == nil {
		return
	}
	if code := asError(refused).Code; code == report.AuditUnavailable {
		return
	}
	if _, err := s.audit.Record(context.WithoutCancel(ctx), a.auditRecord(s.now(), refused)); err != nil {
		s.log.WarnContext(ctx, "a refusal was not recorded", "caller", a.caller.Name(), "error", err)
	}
}

func (a *act) auditRecord(now time.Time, refused error) audit.Record {
	r := audit.Record{
		Time: now, Kind: audit.Signature, Caller: a.caller.Name(), Operation: string(a.op), Key: printable(a.name),
		Profile: printable(a.profile), Request: printable(a.request), Outcome: audit.Done, Token: a.took.Token, Retried: a.took.Retried,
		Queue: a.took.Queue, Sign: a.took.Sign, Verify: a.took.Verify, Total: now.Sub(a.begun),
	}
	if a.in.standing != nil {
		r.Role = a.in.standing.role.Name
	}
	if a.original != nil {
		r.Kind = audit.Replay
		if a.original.Recorded() {
			r.Original = &a.original.Index
		}
	}
	if refused != nil {
		r.Kind, r.Outcome = audit.Refusal, string(asError(refused).Code)
	}
	if a.key != nil {
		r.Certificate = fingerprint(a.key.Certificate())
		if a.digest != nil {
			name := a.key.Public().Algorithm.Digest.Name
			r.Digests = append(make([]audit.Digest, 0, 2),
				audit.Digest{Of: audit.OfSigned, Algorithm: name, Value: hex.EncodeToString(a.digest)})
			for _, content := range a.of[:min(len(a.of), maxContents)] {
				r.Digests = append(r.Digests, audit.Digest{Of: audit.OfContent, Algorithm: name, Value: hex.EncodeToString(content)})
			}
		}
	}
	if refused == nil {
		r.Signature = hashOf(a.value.Signature())
	}
	return r
}

// maxContents bounds the digests of a record, which has its own bound.
const maxContents = 32

// hashOf is how signatures are named in logs: the Streebog-256 of the value, hexadecimal.
func hashOf(value []byte) string {
	h := gost.Streebog256.New()
	h.Write(value)
	return hex.EncodeToString(h.Sum(nil))
}
