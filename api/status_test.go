package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer/report"
)

// detail finds the detail of a type in an error.
func detail[T any](err error) *T {
	for _, d := range status.Convert(err).Details() {
		if found, ok := any(d).(*T); ok {
			return found
		}
	}
	return nil
}

// Every code has a row in the table and a reason in the published enum, and nothing else has.
func TestEveryCodeIsMapped(t *testing.T) {
	for _, info := range report.Codes {
		k, ok := kindOf(info.Code)
		if !ok {
			t.Errorf("%s has neither row nor family", info.Code)
			continue
		}
		if k.code == codes.OK || k.code == codes.Unknown {
			t.Errorf("%s is %s", info.Code, k.code)
		}
		if _, ok := epovpb.ErrorReason_value[Reason(info.Code)]; !ok {
			t.Errorf("%s is not in ErrorReason", Reason(info.Code))
		}
		err := fmt.Errorf("wrapped: %w", &report.Error{
			Code: info.Code, Place: report.Place{Offset: 7, End: 9, Line: 3, Column: 5, Path: "/a/b"}, Message: "told",
			Err: errors.New("CKR_SECRET <payload/>"), Key: "keys/EXMP01/ov/versions/1",
		})
		s := statusOf(err, "document", "X1").Err()
		if status.Code(s) != k.code {
			t.Errorf("%s is %s, not %s", info.Code, status.Code(s), k.code)
		}
		e := detail[errdetails.ErrorInfo](s)
		if e == nil || e.Domain != Domain || e.Reason != Reason(info.Code) || e.Metadata["smev_fault"] != info.Fault {
			t.Errorf("%s: ErrorInfo %v", info.Code, e)
		}
		if m := detail[errdetails.LocalizedMessage](s); m == nil || m.Locale != "ru" || m.Message != info.Russian {
			t.Errorf("%s: LocalizedMessage %v", info.Code, m)
		}
		if all := fmt.Sprint(status.Convert(s).Proto()); strings.Contains(all, "CKR") || strings.Contains(all, "payload/") {
			t.Errorf("%s tells the cause", info.Code)
		}
		if k.code == codes.InvalidArgument {
			bad := detail[errdetails.BadRequest](s)
			if bad == nil || len(bad.FieldViolations) != 1 || bad.FieldViolations[0].Field != "document" ||
				bad.FieldViolations[0].Reason != Reason(info.Code) {
				t.Errorf("%s: BadRequest %v", info.Code, bad)
			}
			if m := e.GetMetadata(); m["line"] != "3" || m["column"] != "5" || m["path"] != "/a/b" || m["offset"] != "7" {
				t.Errorf("%s: place %v", info.Code, m)
			}
		}
		if r := detail[errdetails.ResourceInfo](s); info.Code != report.Internal &&
			(r.GetResourceType() != "epov.v1.Key" || r.GetResourceName() != "keys/EXMP01/ov/versions/1") {
			t.Errorf("%s: ResourceInfo %v", info.Code, r)
		}
		retry := detail[errdetails.RetryInfo](s)
		if mayHelp := k.code == codes.Unavailable || k.code == codes.ResourceExhausted; (retry != nil) != mayHelp {
			t.Errorf("%s: RetryInfo %v", info.Code, retry)
		}
		if pre := detail[errdetails.PreconditionFailure](s); (pre != nil) != (k.code == codes.FailedPrecondition) {
			t.Errorf("%s: PreconditionFailure %v", info.Code, pre)
		}
	}
	known := map[string]bool{"ERROR_REASON_UNSPECIFIED": true}
	for _, info := range report.Codes {
		known[Reason(info.Code)] = true
	}
	for name := range epovpb.ErrorReason_value {
		if !known[name] {
			t.Errorf("%s stands for no code", name)
		}
	}
	for c := range table {
		if c.Info() == (report.Info{Code: c}) {
			t.Errorf("%s has a row but is no code", c)
		}
	}
}

func TestUnknownErrors(t *testing.T) {
	for _, err := range []error{errors.New("secret"), &report.Error{Code: "no.such", Message: "secret"},
		&report.Error{Code: report.Internal, Message: "secret", Err: errors.New("secret")}} {
		s := statusOf(err, "document", "X1")
		if s.Code() != codes.Internal || strings.Contains(fmt.Sprint(s.Proto()), "secret") || !strings.Contains(s.Message(), "X1") {
			t.Errorf("%v is told as %v", err, s)
		}
	}
	canceled := &report.Error{Code: report.Deadline, Message: "the caller gave up", Err: context.Canceled}
	if s := statusOf(canceled, "", ""); s.Code() != codes.Canceled {
		t.Error(s)
	}
}

// What comes from a message and gets into headers is cut, on a boundary of characters.
func TestShort(t *testing.T) {
	for _, s := range []string{"", "x", strings.Repeat("я", 256), strings.Repeat("я", 400) + "x",
		"x" + strings.Repeat("я", 1000), "\xff\xfe"} {
		got := short(s)
		if len(got) > 520 || strings.ToValidUTF8(got, "") != got {
			t.Errorf("%d bytes of %d: %q", len(got), len(s), got)
		}
	}
	place := report.Place{Line: 1, Column: 1, Path: strings.Repeat("/x", 1<<16)}
	err := statusOf(report.Errorf(report.XMLSyntax, place, "told"), "document", "").Proto()
	if n := len(err.String()); n > 8000 {
		t.Errorf("%d bytes of error", n)
	}
}

// The token's own estimate replaces the general hint, where a retry may help at all.
func TestRetryAfter(t *testing.T) {
	for code, want := range map[report.Code]time.Duration{report.Overload: 70 * time.Millisecond, report.TokenPIN: 0} {
		s := statusOf(&report.Error{Code: code, Message: "no", RetryAfter: 70 * time.Millisecond}, "document", "").Err()
		retry := detail[errdetails.RetryInfo](s)
		if got := retry.GetRetryDelay().AsDuration(); got != want {
			t.Errorf("%s: retry after %v, want %v", code, got, want)
		}
	}
}
