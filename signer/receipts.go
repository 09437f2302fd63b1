package signer

import (
	"context"

	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/report"
)

// AuditLog is an [Auditor] whose records can be read again. Safe for concurrent use. Errors are *report.Error or that of ctx.
type AuditLog interface {
	Auditor
	// Receipt proves a record. It waits for the checkpoint that covers it as long as ctx lasts.
	Receipt(ctx context.Context, index uint64) (*audit.Receipt, error)
	// Find is the record of a client's request; RecordUnknown when it is not among the newest.
	Find(caller, request string) (uint64, error)
	// Checkpoint is the newest signed checkpoint.
	Checkpoint() ([]byte, error)
	// VerifierKey is the key that checks checkpoints, as audit.ParseKey reads it.
	VerifierKey() string
}

// Audited reports whether signatures are recorded in a log that gives receipts.
func (s *Service) Audited() bool {
	_, ok := s.audit.(AuditLog)
	return ok
}

func (s *Service) auditLog() (AuditLog, error) {
	log, ok := s.audit.(AuditLog)
	if !ok {
		return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "receipt"}, "the service keeps no audit log")
	}
	return log, nil
}

// Receipt proves a record to be in the audit log. A caller gets those of its own records, with OpAudit those of all. It
// waits for the next checkpoint as long as ctx lasts.
func (s *Service) Receipt(ctx context.Context, caller *Caller, index uint64) (*audit.Receipt, error) {
	log, err := s.auditLog()
	if err != nil {
		return nil, err
	}
	if caller == nil {
		return nil, report.Errorf(report.AccessDenied, report.Place{}, "the caller is not known")
	}
	r, err := log.Receipt(ctx, index)
	if err != nil {
		return nil, asError(err)
	}
	if r.Record.Caller != caller.Name() {
		in, err := s.enter(ctx, caller, OpAudit, 0)
		if err != nil {
			return nil, err
		}
		in.leave(s.now())
	}
	return r, nil
}

// ReceiptFor is Receipt for the record of a request. Of whom the request is decides the caller, with OpAudit of, if it is not
// empty.
func (s *Service) ReceiptFor(ctx context.Context, caller *Caller, of, request string) (*audit.Receipt, error) {
	log, err := s.auditLog()
	if err != nil {
		return nil, err
	}
	if of == "" {
		of = caller.Name()
	}
	if of != caller.Name() {
		if _, err := caller.authorize(right{op: OpAudit}); err != nil {
			return nil, err
		}
	}
	index, err := log.Find(of, request)
	if err != nil {
		return nil, asError(err)
	}
	return s.Receipt(ctx, caller, index)
}

// Checkpoint is the newest checkpoint of the audit log and the key that checks it. Whoever is known may keep checkpoints: the
// more there are elsewhere, the less can be changed.
func (s *Service) Checkpoint(caller *Caller) (checkpoint []byte, key string, err error) {
	log, err := s.auditLog()
	if err != nil {
		return nil, "", err
	}
	if caller == nil {
		return nil, "", report.Errorf(report.AccessDenied, report.Place{}, "the caller is not known")
	}
	checkpoint, err = log.Checkpoint()
	if err != nil {
		return nil, "", asError(err)
	}
	return checkpoint, log.VerifierKey(), nil
}
