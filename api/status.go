package api

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/epov-signer/epov/signer/report"
)

// Domain is the domain of the google.rpc.ErrorInfo of every error.
const Domain = "epov"

// kind is how an error travels: the gRPC code, and after what time a retry may help (0: it does not).
type kind struct {
	code  codes.Code
	retry time.Duration
}

// table maps codes. UNAVAILABLE and RESOURCE_EXHAUSTED only where a retry may help; only a request that is larger than the
// caller's may be is RESOURCE_EXHAUSTED without a RetryInfo. A code without a row of its own goes
// with its family, which is everything up to the first dot.
var table = map[report.Code]kind{
	report.CertSyntax: {code: codes.InvalidArgument}, // of a certificate in the request

	report.RequestInvalid:       {code: codes.InvalidArgument},
	report.RequestIDReused:      {code: codes.AlreadyExists},
	report.RequestChecksum:      {code: codes.InvalidArgument},
	report.RequestLimit:         {code: codes.InvalidArgument},
	report.MethodUnknown:        {code: codes.Unimplemented},
	report.TargetMissing:        {code: codes.InvalidArgument},
	report.TargetAmbiguous:      {code: codes.InvalidArgument},
	report.AlreadySigned:        {code: codes.InvalidArgument},
	report.AccessDenied:         {code: codes.PermissionDenied},
	report.RecordUnknown:        {code: codes.NotFound},
	report.KeyUnknown:           {code: codes.NotFound},
	report.KeyUnusable:          {code: codes.FailedPrecondition},
	report.KeyStaged:            {code: codes.FailedPrecondition},
	report.KeyRetired:           {code: codes.FailedPrecondition},
	report.KeyDisabled:          {code: codes.FailedPrecondition},
	report.TimeStampUnavailable: {code: codes.Unavailable, retry: time.Second},
	report.TokenAway:            {code: codes.Unavailable, retry: time.Second},
	report.TokenPIN:             {code: codes.FailedPrecondition},
	report.TokenFault:           {code: codes.Internal},
	report.Overload:             {code: codes.ResourceExhausted, retry: 200 * time.Millisecond},
	report.QuotaExceeded:        {code: codes.ResourceExhausted, retry: time.Second},
	report.AuditUnavailable:     {code: codes.Unavailable, retry: time.Second},
	report.Draining:             {code: codes.Unavailable, retry: 200 * time.Millisecond},
	report.Deadline:             {code: codes.DeadlineExceeded},
	report.Internal:             {code: codes.Internal},
}

// families are the codes about messages and about certificates.
var families = map[string]kind{
	"xml":         {code: codes.InvalidArgument},
	"signature":   {code: codes.InvalidArgument},
	"reference":   {code: codes.InvalidArgument},
	"keyinfo":     {code: codes.InvalidArgument},
	"coverage":    {code: codes.InvalidArgument},
	"profile":     {code: codes.InvalidArgument},
	"xades":       {code: codes.InvalidArgument},
	"cms":         {code: codes.InvalidArgument},
	"message":     {code: codes.InvalidArgument},
	"timestamp":   {code: codes.FailedPrecondition}, // of a token that an authority gave us
	"certificate": {code: codes.FailedPrecondition},
}

func kindOf(c report.Code) (kind, bool) {
	if k, ok := table[c]; ok {
		return k, true
	}
	family, _, _ := strings.Cut(string(c), ".")
	k, ok := families[family]
	return k, ok && c.Info() != report.Info{Code: c}
}

// Reason is the name under which a code appears in google.rpc.ErrorInfo: "xml.duplicate-id" is XML_DUPLICATE_ID. The names
// are listed in the enum ErrorReason.
func Reason(c report.Code) string {
	return strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToUpper(string(c)))
}

// statusOf renders an error for the caller. field is the field of the request that places within a message refer to. What
// has no row, and the cause of what has one, stays here: incident identifies it in the log.
func statusOf(err error, field, incident string) *status.Status {
	var e *report.Error
	if !errors.As(err, &e) {
		return internal(incident)
	}
	k, ok := kindOf(e.Code)
	if !ok || e.Code == report.Internal {
		return internal(incident)
	}
	if e.Code == report.Deadline && errors.Is(err, context.Canceled) {
		k.code = codes.Canceled
	}
	info := &errdetails.ErrorInfo{Reason: Reason(e.Code), Domain: Domain, Metadata: map[string]string{}}
	if fault := e.Code.Info().Fault; fault != "" {
		info.Metadata["smev_fault"] = fault
	}
	if incident != "" {
		info.Metadata["incident"] = incident
	}
	details := []protoadapt.MessageV1{info, &errdetails.LocalizedMessage{
		Locale: report.Russian.String(), Message: e.Code.Info().Russian,
	}}
	message := short(e.Message)
	if k.code == codes.InvalidArgument {
		place := e.Place
		if namesField(e.Code) && place.Line == 0 && place.Path != "" {
			field, place = place.Path, report.Place{}
			message = field + ": " + message
		}
		placed(info.Metadata, place)
		if s := place.String(); s != "" {
			message += " (" + short(s) + ")"
		}
		details = append(details, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: field, Description: message, Reason: info.Reason},
		}})
	}
	if k.code == codes.FailedPrecondition {
		details = append(details, &errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{
			{Type: info.Reason, Subject: cmp.Or(e.Key, "key"), Description: message},
		}})
	}
	if e.Key != "" {
		details = append(details, &errdetails.ResourceInfo{ResourceType: "epov.v1.Key", ResourceName: short(e.Key), Description: message})
	}
	if e.Quota != nil && e.RetryAfter == 0 { // no time makes a request smaller
		k.retry = 0
	}
	if q := e.Quota; q != nil {
		details = append(details, &errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{
			{Subject: q.Subject, Description: message, QuotaMetric: Domain + "/" + q.Limit, QuotaId: q.Limit, QuotaValue: q.Value},
		}})
	}
	if k.retry > 0 && e.RetryAfter > 0 {
		k.retry = e.RetryAfter
	}
	if k.retry > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(k.retry)})
	}
	return with(status.New(k.code, string(e.Code)+": "+message), details...)
}

// namesField reports whether the path of an error's place is a field of the request, not a place within its payload.
func namesField(c report.Code) bool {
	return c == report.RequestInvalid || c == report.RequestChecksum || c == report.RequestLimit
}

func internal(incident string) *status.Status {
	return with(status.New(codes.Internal, "internal fault; the service's log has it as incident "+incident),
		&errdetails.ErrorInfo{
			Reason: Reason(report.Internal), Domain: Domain, Metadata: map[string]string{"incident": incident},
		}, &errdetails.LocalizedMessage{Locale: report.Russian.String(), Message: report.Internal.Info().Russian})
}

func with(s *status.Status, details ...protoadapt.MessageV1) *status.Status {
	if detailed, err := s.WithDetails(details...); err == nil {
		return detailed
	}
	return s
}

func placed(metadata map[string]string, p report.Place) {
	if p.Line > 0 {
		metadata["line"] = strconv.Itoa(p.Line)
		metadata["column"] = strconv.Itoa(p.Column)
	}
	if p.Line > 0 || p.End > 0 {
		metadata["offset"] = strconv.Itoa(p.Offset)
	}
	if p.Path != "" {
		metadata["path"] = short(p.Path)
	}
}

// short cuts what may come from a message to what fits into response headers, of which peers accept a few KiB.
func short(s string) string {
	const most = 512
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= most {
		return s
	}
	cut := most
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
