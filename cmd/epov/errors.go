package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"google.golang.org/grpc/codes"

	"github.com/epov-signer/epov/api/client"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/signer/report"
)

// errVerdict says that a document was examined, the report was printed, and the answer is not the one that counts as success.
var errVerdict = errors.New("not valid")

// usageError is a command line, or a file named on it, that cannot be used as it is.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// fileError is about what a file holds; the message begins with the file's name.
type fileError struct {
	name string
	err  error
}

func (e *fileError) Error() string { return e.name + ": " + e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// about names the file in an error about what it holds, and returns other errors as they are.
func about(name string, err error) error {
	content := false
	if asCoded(err) != nil {
		content = true
	} else if call := client.AsError(err); call != nil {
		content = call.Place != (client.Place{}) || slices.Contains([]string{"document", "message", "content"}, call.Field)
	} else {
		_, content = errors.AsType[*xmltext.SyntaxError](err)
	}
	if !content {
		return err
	}
	if name == "-" {
		name = "standard input"
	}
	return &fileError{name, err}
}

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode decides by the kind of error.
func exitCode(err error) int {
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	for _, file := range []error{fs.ErrNotExist, fs.ErrPermission, syscall.EISDIR, syscall.ENOTDIR} {
		if errors.Is(err, file) {
			return exitUsage
		}
	}
	var coded *report.Error
	if errors.As(err, &coded) {
		return codeExit(coded.Code)
	}
	if call := client.AsError(err); call != nil {
		return callExit(call)
	}
	switch hsm.KindOf(err) {
	case hsm.Away, hsm.Busy, hsm.Expired:
		return exitUnavailable
	}
	return exitFailed
}

// callExit goes by the reason that the daemon gave; without one the call did not get as far as the daemon, or too far for it.
func callExit(e *client.Error) int {
	if e.RetryAfter > 0 {
		return exitUnavailable
	}
	if e.ReasonName != "" {
		return codeExit(codeOfReason(e.ReasonName))
	}
	if e.Code == codes.Unavailable || e.Code == codes.DeadlineExceeded {
		return exitUnavailable
	}
	return exitFailed
}

func codeExit(code report.Code) int {
	switch code {
	case report.TokenAway, report.Overload, report.Deadline, report.Draining, report.AuditUnavailable:
		return exitUnavailable
	}
	return exitFailed
}

// asCoded finds the error with a code in err; nil when there is none.
func asCoded(err error) *report.Error {
	coded, _ := errors.AsType[*report.Error](err)
	return coded
}

// describe makes one line of an error: code, sentence, place, and what helps.
func describe(err error) string {
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	var coded *report.Error
	if errors.As(err, &coded) {
		return printable(err.Error() + asides(faultAside(coded.Code), hint(coded.Code)))
	}
	if call := client.AsError(err); call != nil {
		line := describeCall(call)
		if file, ok := errors.AsType[*fileError](err); ok {
			line = file.name + ": " + line
		}
		return printable(line)
	}
	return printable(err.Error() + asides(tokenHint(err)))
}

// describeCall tells what the daemon says of an error; see "Errors" in epov.proto.
func describeCall(e *client.Error) string {
	if e.ReasonName == "" {
		return describeTransport(e)
	}
	var more []string
	if e.Field != "" {
		more = append(more, "field "+e.Field)
	}
	if e.RetryAfter > 0 {
		more = append(more, "try again after "+e.RetryAfter.String())
	}
	code := codeOfReason(e.ReasonName)
	line := e.Message
	if !strings.Contains(line, string(code)) {
		line = string(code) + ": " + line
	}
	if p := placeOf(e.Place); p != "" && !strings.Contains(line, p) {
		line += " (" + p + ")"
	}
	if code == report.MethodUnknown && strings.Contains(e.Message, "AdminService") {
		more = append(more, "administration has a listener of its own, admin.listen in the daemon's configuration: give --socket or its --address")
	}
	if e.SMEVFault != "" {
		more = append(more, "SMEV answers "+e.SMEVFault)
	}
	return line + asides(append(more, hint(code))...)
}

// describeTransport speaks of calls that gRPC itself ended.
func describeTransport(e *client.Error) string {
	switch e.Code {
	case codes.Unavailable:
		help := "is epovd running, and is --address right?"
		switch m := e.Message; {
		case strings.Contains(m, "tls: "):
			help = "is --tls-ca the authority of the daemon's certificate, and --tls-cert of an authority that the daemon knows?"
		case strings.Contains(m, "broken pipe"), strings.Contains(m, "connection reset"), strings.Contains(m, "EOF"):
			// The refusal of a client certificate follows the handshake (TLS 1.3), and may be overtaken by the end.
			help = "the daemon ended the connection: is --tls-cert of an authority that it knows? Its log may say more"
		}
		why := strings.TrimSuffix(strings.TrimPrefix(e.Message, `connection error: desc = "transport: `), `"`)
		return "the daemon cannot be reached: " + why + asides(help)
	case codes.Canceled:
		return "interrupted"
	case codes.DeadlineExceeded:
		return "the daemon did not answer in time" + asides("--timeout sets how long to wait")
	case codes.ResourceExhausted:
		return "the message is too large: " + e.Message +
			asides("epovd has limits.message_bytes; `epov sign cms --digest` and `epov verify --local` send no content")
	}
	return e.Code.String() + ": " + e.Message
}

// codeOfReason undoes the spelling of ErrorReason: upper case, with underscores.
func codeOfReason(reason string) report.Code {
	for _, i := range report.Codes {
		if strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(string(i.Code))) == reason {
			return i.Code
		}
	}
	return report.Code(strings.ToLower(reason))
}

func placeOf(p client.Place) string {
	var parts []string
	if p.Line > 0 {
		parts = append(parts, fmt.Sprintf("line %d, column %d", p.Line, p.Column))
	} else if p.Offset > 0 {
		parts = append(parts, fmt.Sprintf("offset %d", p.Offset))
	}
	if p.Path != "" {
		parts = append(parts, p.Path)
	}
	return strings.Join(parts, ", ")
}

func faultAside(code report.Code) string {
	if f := code.Info().Fault; f != "" {
		return "SMEV answers " + f
	}
	return ""
}

// hint says what usually helps, where that is known.
func hint(code report.Code) string {
	switch code {
	case report.KeyUnknown:
		return "`epov keys` lists the keys this client may use"
	case report.KeyStaged, report.KeyRetired:
		return "`epov keys` shows which version is primary"
	case report.AccessDenied:
		return "the configuration of epovd says what a client may do"
	case report.AlreadySigned:
		return "sign the message as it was before it got its signature"
	case report.XMLDoctype:
		return "send the document without its DOCTYPE"
	case report.XMLEncoding:
		return "convert the document to UTF-8 first"
	case report.TokenPIN:
		return "look at the log of epovd before you try any PIN again"
	}
	return ""
}

// tokenHint is hint for errors of a token.
func tokenHint(err error) string {
	switch hsm.KindOf(err) {
	case hsm.KeyNotFound:
		return "`epov key list` lists the keys of the token"
	case hsm.PINRefused:
		return "no further try is made with this PIN; check it before you give another one"
	case hsm.Exists:
		return "nothing was changed"
	case hsm.Config:
		if e, ok := errors.AsType[*hsm.Error](err); ok && e.Op == "load the module" && errors.Is(err, fs.ErrNotExist) {
			return "--module names the vendor's PKCS#11 library"
		}
	}
	return ""
}

func asides(parts ...string) string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	if len(kept) == 0 {
		return ""
	}
	return " [" + strings.Join(kept, "; ") + "]"
}
