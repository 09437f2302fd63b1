package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/signer/report"
)

// Every reason the API can give leads back to its code.
func TestCodeOfReason(t *testing.T) {
	known := map[report.Code]bool{}
	for _, i := range report.Codes {
		known[i.Code] = true
	}
	for number, reason := range pb.ErrorReason_name {
		if number == 0 {
			continue
		}
		code := codeOfReason(reason)
		if !known[code] {
			t.Errorf("%s becomes %q, which is no code", reason, code)
		}
		delete(known, code)
	}
	for code := range known {
		t.Errorf("no reason becomes %s", code)
	}
}

func remote(t *testing.T, code codes.Code, message string, info *errdetails.ErrorInfo) error {
	t.Helper()
	s := status.New(code, message)
	if info != nil {
		var err error
		if s, err = s.WithDetails(info, &errdetails.BadRequest{
			FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "document"}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	return s.Err()
}

func TestDescribe(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
		exit int
	}{
		{report.Errorf(report.XMLDoctype, report.Place{Line: 2, Column: 1}, "a document type declaration"),
			"xml.doctype: a document type declaration (line 2, column 1) [SMEV answers PoorSOAPEnvelopeFormat; send the document without its DOCTYPE]",
			exitFailed},
		{remote(t, codes.InvalidArgument, "no block to sign", &errdetails.ErrorInfo{Reason: "TARGET_MISSING", Domain: "epov",
			Metadata: map[string]string{"line": "3", "column": "5", "path": "/a/b", "smev_fault": "IncorrectSignatureTarget"}}),
			"target.missing: no block to sign (line 3, column 5, /a/b) [field document; SMEV answers IncorrectSignatureTarget]",
			exitFailed},
		{about("a.xml", report.Errorf(report.XMLSyntax, report.Place{Line: 2, Column: 1}, "no root element")),
			"a.xml: xml.syntax: no root element (line 2, column 1) [SMEV answers PoorSOAPEnvelopeFormat]", exitFailed},
		{about("-", remote(t, codes.InvalidArgument, "no root element", &errdetails.ErrorInfo{Reason: "XML_SYNTAX", Domain: "epov"})),
			"standard input: xml.syntax: no root element [field document]", exitFailed},
		{about("a.xml", remote(t, codes.Unavailable, "x", nil)),
			"the daemon cannot be reached: x [is epovd running, and is --address right?]",
			exitUnavailable},
		{remote(t, codes.Unavailable, "stopping", &errdetails.ErrorInfo{Reason: "SERVICE_DRAINING", Domain: "epov"}),
			"service.draining: stopping [field document]", exitUnavailable},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EISDIR}, "open x: is a directory", exitUsage},
		{fmt.Errorf("run: %w", remote(t, codes.Unavailable, "connection refused", nil)),
			"the daemon cannot be reached: connection refused [is epovd running, and is --address right?]", exitUnavailable},
		{remote(t, codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`, nil),
			"the daemon cannot be reached: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused " +
				"[is epovd running, and is --address right?]", exitUnavailable},
		{remote(t, codes.Unavailable, "write tcp 127.0.0.1:1->127.0.0.1:2: write: broken pipe", nil),
			"the daemon cannot be reached: write tcp 127.0.0.1:1->127.0.0.1:2: write: broken pipe " +
				"[the daemon ended the connection: is --tls-cert of an authority that it knows? Its log may say more]", exitUnavailable},
		{remote(t, codes.Unavailable, "the token is away", &errdetails.ErrorInfo{Reason: "TOKEN_AWAY", Domain: "epov"}),
			"token.away: the token is away [field document]", exitUnavailable},
		{remote(t, codes.ResourceExhausted, "busy", &errdetails.ErrorInfo{Reason: "OVERLOAD", Domain: "epov"}),
			"overload: busy [field document]", exitUnavailable},
		{remote(t, codes.ResourceExhausted, "9 vs. 5", nil),
			"the message is too large: 9 vs. 5 [epovd has limits.message_bytes; `epov sign cms --digest` and `epov verify --local` send no content]", exitFailed},
		{remote(t, codes.DeadlineExceeded, "context deadline exceeded", nil),
			"the daemon did not answer in time [--timeout sets how long to wait]", exitUnavailable},
		{&hsm.Error{Kind: hsm.Away, Token: "t", Op: "sign"}, "hsm: token t: sign", exitUnavailable},
		{&hsm.Error{Kind: hsm.KeyNotFound, Op: "find key x"}, "hsm: find key x [`epov key list` lists the keys of the token]", exitFailed},
		{report.Errorf(report.Overload, report.Place{}, "too much"), "overload: too much", exitUnavailable},
		{remote(t, codes.PermissionDenied, "not\x1b[1m yours", nil), `PermissionDenied: not\x1b[1m yours`, exitFailed},
		{fmt.Errorf("reading: %w", context.Canceled), "interrupted", exitFailed},
		{remote(t, codes.Canceled, "context canceled", nil), "interrupted", exitFailed},
		{usagef("no"), "no", exitUsage},
		{&fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}, "open x: file does not exist", exitUsage},
		{errors.New("line\nbreak"), `line\nbreak`, exitFailed},
		{errVerdict, "not valid", exitFailed},
	} {
		if got := describe(c.err); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		if got := exitCode(c.err); got != c.exit {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.exit)
		}
	}
}

func TestHoldsXML(t *testing.T) {
	for _, c := range []struct {
		data string
		xml  bool
		err  string
	}{
		{"<a/>", true, ""}, {"\ufeff \n<a/>", true, ""}, {"\xff\xfe<\x00a\x00", true, ""}, {"\x00<\x00a", true, ""},
		{"\x30\x03", false, ""}, {"-----BEGIN CMS-----", false, ""}, {"MAMCAQE=", false, ""},
		{"", false, "f is empty"}, {"What is this?", false, "f looks neither"}, {"\ufeff", false, "f looks neither"},
	} {
		switch got, err := holdsXML("f", []byte(c.data)); {
		case (err == nil) != (c.err == "") || err != nil && !strings.HasPrefix(err.Error(), c.err):
			t.Errorf("%q: %v, want %q", c.data, err, c.err)
		case got != c.xml:
			t.Errorf("%q: XML: %t", c.data, got)
		}
	}
}

func TestConclude(t *testing.T) {
	var b strings.Builder
	if code := conclude(&b, nil); code != exitOK || b.Len() > 0 {
		t.Errorf("success: %d, %q", code, b.String())
	}
	if code := conclude(&b, errVerdict); code != exitFailed || b.Len() > 0 {
		t.Errorf("the report says enough, but: %d, %q", code, b.String())
	}
	if code := conclude(&b, usagef("x")); code != exitUsage || b.String() != "epov: x\n" {
		t.Errorf("%d, %q", code, b.String())
	}
}
