package signer

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/report"
)

// Administer lets a caller do an administrative act: what is its name, key the version that it concerns, or empty when op concerns
// none. The act is refused while the audit log takes no records, and is recorded with its outcome once it is done; the error is
// that of the act, or says that the act was done and not recorded.
func (s *Service) Administer(ctx context.Context, caller *Caller, op Operation, what, key string, do func(KeyName) error) (err error) {
	begun := s.now()
	r := right{op: op}
	if op == OpAdminKeys {
		if r.key, err = ParseKeyName(key); err == nil && r.key.Version == 0 {
			err = report.Errorf(report.RequestInvalid, report.Place{Path: "key"}, "which version? such as %s", r.key.WithVersion(2))
		} else if err != nil {
			err = report.Errorf(report.RequestInvalid, report.Place{Path: "key"}, "%s", err)
		}
		if err != nil {
			r.key = KeyName{}
		}
	}
	under, denied := caller.authorize(r)
	if denied != nil {
		err = denied
	}
	if err == nil && s.audit != nil {
		err = s.audit.Ready()
	}
	var in entry
	if err == nil {
		in, err = caller.enter(under, 0, s.now())
	}
	if err == nil {
		err = do(r.key)
	}
	in.leave(s.now())
	s.recordAct(ctx, caller, op, what, key, under, begun, err)
	if err != nil {
		return asError(err)
	}
	return s.auditAct(ctx, caller, what, key, under, begun, nil)
}

// recordAct writes the act's line, and of one that failed its record.
func (s *Service) recordAct(ctx context.Context, caller *Caller, op Operation, what, key string, under *standing,
	begun time.Time, err error) {
	level, outcome := slog.LevelInfo, audit.Done
	attrs := []slog.Attr{slog.String("caller", caller.Name()), slog.String("act", what), slog.String("operation", string(op))}
	if key != "" {
		attrs = append(attrs, slog.String("key", printable(key)))
	}
	if err != nil {
		if caller != nil {
			untold, ok := caller.refusal.tell(begun)
			if !ok {
				return
			}
			attrs = append(attrs, slog.Int("untold_before", untold))
		}
		level, outcome = slog.LevelWarn, string(asError(err).Code)
		attrs = append(attrs, slog.String("error", err.Error()))
		if caller != nil {
			if failed := s.auditAct(ctx, caller, what, key, under, begun, err); failed != nil {
				s.log.WarnContext(ctx, "a refusal was not recorded", "caller", caller.Name(), "error", failed)
			}
		}
	}
	s.log.LogAttrs(ctx, level, "administration", append(attrs, slog.String("outcome", outcome))...)
}

func (s *Service) auditAct(ctx context.Context, caller *Caller, what, key string, under *standing, begun time.Time, err error) error {
	if s.audit == nil {
		return nil
	}
	now := s.now()
	r := audit.Record{
		Time: now, Kind: audit.Administrative, Caller: caller.Name(), Operation: what, Outcome: audit.Done, Total: now.Sub(begun),
	}
	if strings.HasPrefix(key, "keys/") {
		r.Key = printable(key)
	}
	if under != nil {
		r.Role = under.role.Name
	}
	if err != nil {
		r.Outcome = string(asError(err).Code)
	}
	if _, err := s.audit.Record(context.WithoutCancel(ctx), r); err != nil {
		return asError(err)
	}
	return nil
}
