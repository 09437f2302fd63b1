package signer

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// Limits bound a request. The zero value of a field means its default.
type Limits struct {
	MessageBytes int   // octets of a document, content or message, default 16 MiB
	StreamBytes  int64 // octets of content, or of a message with it, that goes by in a stream, default 16 GiB
	XML          xmltext.Limits
	CMS          cms.Limits
}

// preparedSigners is how many signers' keys are kept prepared, in up to 16 MiB.
const preparedSigners = 256

// DefaultMessageBytes is the default of [Limits].MessageBytes.
const DefaultMessageBytes = 16 << 20

// DefaultStreamBytes is the default of [Limits].StreamBytes.
const DefaultStreamBytes = 16 << 30

// Config is what a service is made of.
type Config struct {
	Keys   KeyRing
	Access *Access
	Trust  *trust.Store // nil: trust is reported as not checked
	SMEV   *trust.Store // who may sign as SMEV itself; nil: that is reported as not checked
	Limits Limits
	// TimeStamps gives the time-stamps of profiles that have one; nil: these profiles are refused.
	TimeStamps TimeStamper
	RequestIDs RequestIDs
	Trace      *Trace // may be nil
	// Audit takes a record of each signature before it is released, and of each refusal of a recognised caller; nil: no log.
	Audit  Auditor
	Logger *slog.Logger     // a line per refusal, and at Debug per signature, never with payload; nil: slog.Default()
	Now    func() time.Time // nil: time.Now
}

// Service signs and verifies. Safe for concurrent use.
type Service struct {
	keys    KeyRing
	access  atomic.Pointer[Access]
	mutex   sync.Mutex // held to change access
	signers *gost.KeyCache
	trace   Trace
	audit   Auditor
	replays *replays
	log     *slog.Logger
	now     func() time.Time

	settings   atomic.Pointer[Settings] // of now
	explaining chan struct{}            // searches at once: each takes a processor for seconds
}

// New makes a service.
func New(c Config) (*Service, error) {
	if c.Keys == nil || c.Access == nil {
		return nil, errors.New("signer: a service needs keys and access")
	}
	s := &Service{keys: c.Keys, signers: gost.NewKeyCache(preparedSigners), audit: c.Audit, log: c.Logger, now: c.Now}
	if c.Trace != nil {
		s.trace = *c.Trace
	}
	s.access.Store(c.Access)
	s.explaining = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.replays = newReplays(c.RequestIDs, s.now)
	return s, s.Adjust(Settings{Trust: c.Trust, SMEV: c.SMEV, Limits: c.Limits, TimeStamps: c.TimeStamps, RequestIDs: c.RequestIDs})
}

// Settings are what of [Config] can be exchanged while a service is at work.
type Settings struct {
	Trust, SMEV *trust.Store
	Limits      Limits
	TimeStamps  TimeStamper
	RequestIDs  RequestIDs
}

// Adjust puts other settings in force. Each call goes on with what of them it has met before; none fails for it.
func (s *Service) Adjust(n Settings) error {
	if n.Limits.MessageBytes < 0 || n.Limits.StreamBytes < 0 {
		return errors.New("signer: a limit is negative")
	}
	if n.Limits.MessageBytes == 0 {
		n.Limits.MessageBytes = DefaultMessageBytes
	}
	if n.Limits.StreamBytes == 0 {
		n.Limits.StreamBytes = DefaultStreamBytes
	}
	s.replays.limit(n.RequestIDs)
	s.settings.Store(&n)
	return nil
}

// Access recognises callers.
func (s *Service) Access() *Access { return s.access.Load() }

// SetAccess puts another access in the place of the present one, which nobody has asked yet. Callers that were recognised
// before keep what they had for the calls that they have begun. Clients and roles that keep their names keep what they have
// used of their quotas.
func (s *Service) SetAccess(a *Access) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	a.succeed(s.access.Load())
	s.access.Store(a)
}

// act is one signature on its way, as the log will tell it.
type act struct {
	caller  *Caller
	op      Operation
	name    string // as asked for, later the exact version
	profile string
	octets  int   // of the request's contents
	in      entry // under which role it was let in
	begun   time.Time
	key     Key // nil until it is found
	digest  []byte
	of      [][]byte // digests of what the caller has signed
	value   gost.Verified
	took    Timings
	passed  Signing // moments of it
	entry   audit.Entry

	// Of requests with an id:
	request  string                          // the id
	sum      func() requestSum               // of all that the request says
	payload  []byte                          // of which the answer has much; nil: none
	again    func(c *replay) ([]byte, error) // makes an answer anew; nil: by its recipe
	remember func(c *replay, answer []byte)  // keeps what again needs; nil: a recipe
	original *audit.Entry                    // of the record of what is only told again; nil: nothing is
}

// record writes the one line that each signature and each refusal leaves. That of a signature is for looking closely: what was
// signed is for the audit log, and lines as many as signatures would bury the others, or have whoever keeps them drop some of
// each kind. A flood of refusals is told of by their number.
func (s *Service) record(ctx context.Context, a *act, err error) {
	level, outcome, untold := slog.LevelDebug, "signed", 0
	if err != nil {
		level, outcome = slog.LevelWarn, string(asError(err).Code)
	} else if a.original != nil {
		outcome = "replayed"
	}
	if !s.log.Enabled(ctx, level) { // what follows takes its time
		return
	}
	if err != nil && a.caller != nil {
		var ok bool
		if untold, ok = a.caller.refusal.tell(a.begun); !ok {
			return
		}
	}
	attrs := []slog.Attr{
		slog.String("caller", a.caller.Name()), slog.String("operation", string(a.op)),
		slog.String("key", printable(a.name)), slog.String("profile", printable(a.profile)),
		slog.Duration("duration", s.now().Sub(a.begun)),
	}
	if a.digest != nil {
		attrs = append(attrs, slog.String("digest", hex.EncodeToString(a.digest)))
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
		if untold > 0 {
			attrs = append(attrs, slog.Int("untold_before", untold))
		}
	} else {
		attrs = append(attrs, slog.String("signature_streebog256", hashOf(a.value.Signature())))
		if a.entry.Recorded() {
			attrs = append(attrs, slog.Uint64("audit_index", a.entry.Index))
		}
	}
	if a.request != "" {
		attrs = append(attrs, slog.String("request_id", printable(a.request)))
	}
	s.log.LogAttrs(ctx, level, "signature", append(attrs, slog.String("outcome", outcome))...)
}

// asError brings any error into the canonical form. What nobody has classified is a fault of ours.
func asError(err error) *report.Error {
	var e *report.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return &report.Error{Code: report.Deadline, Message: "the caller's time ran out", Err: err}
	case errors.Is(err, context.Canceled):
		return &report.Error{Code: report.Deadline, Message: "the caller gave up", Err: err}
	}
	return &report.Error{Code: report.Internal, Message: "unexpected error", Err: err}
}

// concernsKey are the codes of errors that a caller may settle by looking at the key, or using another.
var concernsKey = map[report.Code]bool{
	report.AccessDenied: true, report.KeyUnknown: true, report.KeyUnusable: true, report.KeyStaged: true, report.KeyRetired: true,
	report.TokenAway: true, report.TokenPIN: true, report.TokenFault: true, report.Overload: true,
	report.CertTime: true, report.CertKeyPeriod: true, report.CertUsage: true, report.CertExtension: true,
}

// about brings an error into the canonical form and names the key that it is about, as it was asked for or, once it was found,
// its exact version.
func about(err error, key string) *report.Error {
	e := asError(err)
	if e.Key != "" || !concernsKey[e.Code] {
		return e
	}
	if _, err := ParseKeyName(key); err != nil {
		return e
	}
	named := *e // an error may be shared by many calls
	named.Key = key
	return &named
}

// expired returns the context's error in the canonical form.
func expired(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return asError(err)
	}
	return nil
}

// asked is what a call wants.
type asked struct {
	op      Operation
	further Operation // that it needs besides, on the same key; empty: none
	key     string    // name
	profile string    // where the operation knows any
	octets  int       // of the request's contents
}

// find reads the name, decides on access, lets the call in, and only then looks for the key. The caller of find leaves the
// entry, also when there is an error.
func (s *Service) find(caller *Caller, a asked) (Key, entry, error) {
	n, err := ParseKeyName(a.key)
	if err != nil {
		if _, err := caller.authorize(right{op: a.op, anyProfile: true}); err != nil {
			return nil, entry{}, err
		}
		return nil, entry{}, report.Errorf(report.RequestInvalid, report.Place{Path: "key"}, "%s", err)
	}
	under, err := caller.authorize(right{op: a.op, key: n, profile: a.profile, anyProfile: profiles[a.op] == nil})
	if err != nil {
		return nil, entry{}, err
	}
	if a.further != "" {
		if _, err := caller.authorize(right{op: a.further, key: n}); err != nil {
			return nil, entry{}, err
		}
	}
	in, err := caller.enter(under, a.octets, s.now())
	if err != nil {
		return nil, in, err
	}
	key, err := s.keys.Key(a.key)
	if err != nil {
		return nil, in, asError(err)
	}
	// A ring that answers with another key would sign in another system's name.
	if got, err := ParseKeyName(key.Name()); err != nil || got.Version == 0 || got.System != n.System || got.Key != n.Key ||
		n.Version != 0 && n.Version != got.Version {
		return nil, in, report.Errorf(report.Internal, report.Place{}, "the key ring answered %s with %q", n, key.Name())
	}
	if err := shown(key); err != nil {
		return nil, in, asError(err)
	}
	return key, in, nil
}

// shown is why nothing is known of a key yet: no token has shown it.
func shown(key Key) error {
	if key.Public() != nil {
		return nil
	}
	if err := available(key); err != nil {
		return err
	}
	return report.Errorf(report.TokenAway, report.Place{}, "no token has shown the key yet")
}

// enter lets a call in that concerns no particular key. The caller of enter leaves the entry, unless there is an error.
func (s *Service) enter(ctx context.Context, caller *Caller, op Operation, octets int) (entry, error) {
	under, err := caller.authorize(right{op: op, anyProfile: true})
	if err != nil {
		return entry{}, err
	}
	if err := expired(ctx); err != nil {
		return entry{}, err
	}
	return caller.enter(under, octets, s.now())
}

// usable says why a key must not sign now. Without a certificate only bare digests can be signed.
func (s *Service) usable(key Key, needCertificate bool) error {
	unusable := func(code report.Code, format string, args ...any) error {
		return report.Errorf(code, report.Place{}, format, args...)
	}
	if !Signs(key.Public().Algorithm) {
		return unusable(report.KeyUnusable, "GOST R 34.10-2001 keys no longer sign")
	}
	c := key.Certificate()
	if c == nil {
		if needCertificate {
			return unusable(report.KeyUnusable, "%s has no certificate", key.Name())
		}
		return nil
	}
	now := s.now()
	const day = "2006-01-02 15:04:05 UTC"
	switch {
	case now.Before(c.NotBefore):
		return unusable(report.CertTime, "the certificate of %s is valid from %s", key.Name(), c.NotBefore.UTC().Format(day))
	case now.After(c.NotAfter):
		return unusable(report.CertTime, "the certificate of %s was valid until %s", key.Name(), c.NotAfter.UTC().Format(day))
	case !c.PrivateKeyNotBefore.IsZero() && now.Before(c.PrivateKeyNotBefore):
		return unusable(report.CertKeyPeriod, "%s may be used from %s", key.Name(), c.PrivateKeyNotBefore.UTC().Format(day))
	case !c.PrivateKeyNotAfter.IsZero() && now.After(c.PrivateKeyNotAfter):
		return unusable(report.CertKeyPeriod, "%s might be used until %s", key.Name(), c.PrivateKeyNotAfter.UTC().Format(day))
	case c.HasKeyUsage && c.KeyUsage&(gost.UsageDigitalSignature|gost.UsageContentCommitment) == 0:
		return unusable(report.CertUsage, "the certificate of %s is not for signing", key.Name())
	}
	return nil
}

// fits refuses what is too large.
func (s *Service) fits(field string, data []byte, code report.Code) error {
	if most := s.settings.Load().Limits.MessageBytes; len(data) > most {
		return report.Errorf(code, report.Place{Path: field}, "%d bytes, the limit is %d", len(data), most)
	}
	return nil
}

// fingerprint is Streebog-256 of a key's certificate, hexadecimal; empty without one.
func fingerprint(c *gost.Certificate) string {
	if c == nil {
		return ""
	}
	return c.FingerprintString()
}

func known[T any](list []T, name func(T) string) []string {
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = name(p)
	}
	slices.Sort(names)
	return names
}
