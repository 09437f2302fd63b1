package client

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/api/epovpb"
)

// domain is that of the service's google.rpc.ErrorInfo.
const domain = "epov"

// Error is what a call ended with. errors.As finds it in every error of a call; status.FromError of gRPC works on it too.
type Error struct {
	Code    codes.Code
	Message string // English, for people

	// Reason is stable, and what to decide by. It is unspecified when the call did not get as far as the service, and when
	// the service is newer than this package; ReasonName is as it came then.
	Reason     epovpb.ErrorReason
	ReasonName string

	RetryAfter time.Duration // after which a repetition may help; 0: the service does not say so
	Place      Place         // within the message that the request carried
	Field      string        // of the request that is at fault
	SMEVFault  string        // with which SMEV itself answers such a message, such as "SignatureIsInvalid"
	Limit      string        // of the caller's role that was met, such as "rate" or "message_bytes"
	Key        string        // that the error is about
	Russian    string        // what the reason means
	Incident   string        // finds the entry in the service's log

	status *status.Status
}

// Place is where in a message something is wrong. Zero values are unknown.
type Place struct {
	Line, Column int // from 1, the column in octets
	Offset       int // octets from the start
	Path         string
}

// Error is the service's sentence.
func (e *Error) Error() string {
	if e.ReasonName == "" {
		return fmt.Sprintf("epovd: %s: %s", e.Code, e.Message)
	}
	return "epovd: " + e.Message
}

// GRPCStatus is the status with all its details.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// Is makes errors.Is(err, reason) work; see [Because].
func (e *Error) Is(target error) bool {
	r, ok := target.(because)
	return ok && e.Reason == epovpb.ErrorReason(r)
}

type because epovpb.ErrorReason

func (b because) Error() string { return epovpb.ErrorReason(b).String() }

// Because is a target for errors.Is: errors.Is(err, client.Because(epovpb.ErrorReason_TARGET_SIGNED)).
func Because(reason epovpb.ErrorReason) error { return because(reason) }

// AsError reads what the error of a call says; nil when it is of no call.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	remote, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err)
	if !ok {
		return nil
	}
	return fromStatus(remote.GRPCStatus())
}

func typed(err error) error {
	if e := AsError(err); e != nil {
		return e
	}
	return err
}

func fromStatus(s *status.Status) *Error {
	e := &Error{Code: s.Code(), Message: s.Message(), status: s}
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() != domain {
				continue
			}
			e.ReasonName = d.GetReason()
			e.Reason = epovpb.ErrorReason(epovpb.ErrorReason_value[d.GetReason()])
			m := d.GetMetadata()
			e.SMEVFault, e.Incident = m["smev_fault"], m["incident"]
			e.Place = Place{Line: number(m["line"]), Column: number(m["column"]), Offset: number(m["offset"]), Path: m["path"]}
		case *errdetails.RetryInfo:
			e.RetryAfter = d.GetRetryDelay().AsDuration()
		case *errdetails.BadRequest:
			if v := d.GetFieldViolations(); len(v) > 0 {
				e.Field = v[0].GetField()
			}
		case *errdetails.QuotaFailure:
			if v := d.GetViolations(); len(v) > 0 {
				e.Limit = v[0].GetQuotaId()
			}
		case *errdetails.ResourceInfo:
			e.Key = d.GetResourceName()
		case *errdetails.LocalizedMessage:
			e.Russian = d.GetMessage()
		}
	}
	return e
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
