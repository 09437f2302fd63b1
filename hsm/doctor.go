package hsm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/hsm/internal/pin"
)

// Examination says what to look at. Nothing is changed by it, and no PIN is tried unless LogIn asks for that.
type Examination struct {
	Modules  []string      // paths, beside those of the tokens
	Tokens   []TokenConfig // PIN and StateDir may be missing; what would need them is not looked at
	Keys     []ExaminedKey // without any for a token, all that are seen
	Files    []string      // whose times the clock is compared with
	LogIn    bool          // one try of the PIN, under its rules; without it private keys are invisible
	Now      time.Time     // zero: the present
	Patience time.Duration // for a module; zero: 30 s
	Isolated bool          // modules in processes of their own; needs WorkerMain
}

// ExaminedKey is a key that a token is meant to hold.
type ExaminedKey struct {
	Name        string // how findings call it
	Token       string // Name of the TokenConfig
	ID          string
	Certificate *gost.Certificate // from the configuration; nil: the one on the token
}

// Severity orders findings.
type Severity int

const (
	Good    Severity = iota // as it should be
	Note                    // worth knowing
	Warning                 // works, but not well or not for long
	Fault                   // does not work
)

func (s Severity) String() string {
	return [...]string{"good", "note", "warning", "fault"}[s]
}

// Finding is one thing that was looked at.
type Finding struct {
	Severity Severity
	Code     string // stable; Diagnoses lists them
	Subject  string // "module /usr/lib/…", "token main", "key keys/EXMP01/ov/versions/1", "clock"
	Seen     string
	Advice   string // what to do next; empty when there is nothing to do
}

// Examine walks from the module's file to the certificates of the keys and says what it finds, in the order of the walk. A
// module that hangs or fails ends the examination of its tokens only.
func Examine(ctx context.Context, e Examination, log *slog.Logger) []Finding {
	if e.Isolated {
		return examine(ctx, e, log, loadAlone)
	}
	return examine(ctx, e, log, loadInProcess)
}

// loadAlone puts a module into a process of its own, which may do what this one may.
func loadAlone(ctx context.Context, module string, o hostOptions) (host, error) {
	var one workers
	o.Log, o.Sandbox = slog.New(slog.DiscardHandler), Sandbox{Off: true}
	h, err := one.load(ctx, module, o)
	if err != nil {
		one.close()
		return nil, err
	}
	return aloneHost{h, &one}, nil
}

type aloneHost struct {
	host
	made *workers
}

func (h aloneHost) Close(ctx context.Context) error {
	h.made.close()
	return h.host.Close(ctx)
}

func examine(ctx context.Context, e Examination, log *slog.Logger, load hostMaker) []Finding {
	if e.Now.IsZero() {
		e.Now = time.Now()
	}
	if e.Patience == 0 {
		e.Patience = 30 * time.Second
	}
	var findings []Finding
	d := &doctor{Examination: e, log: log, load: load, out: &findings}
	d.process()
	modules := slices.Clone(e.Modules)
	for _, t := range e.Tokens {
		modules = append(modules, t.Module)
		d.stateDir(t)
	}
	slices.Sort(modules)
	for _, module := range slices.Compact(modules) {
		findings = append(findings, d.patiently(ctx, module)...)
	}
	d.clock()
	return findings
}

// doctor collects findings.
type doctor struct {
	Examination
	log  *slog.Logger
	load hostMaker
	out  *[]Finding

	certificates []seenCertificate
}

type seenCertificate struct {
	subject string
	*gost.Certificate
}

func (d *doctor) say(code, subject, format string, args ...any) {
	about, known := diagnoses[code]
	if !known {
		panic("hsm: no diagnosis " + code) // a test looks for all
	}
	*d.out = append(*d.out, Finding{about.severity, code, subject, fmt.Sprintf(format, args...), about.advice})
}

// patiently examines one module while patience lasts: a call that hangs cannot be ended, and is left to itself.
func (d *doctor) patiently(ctx context.Context, module string) []Finding {
	subject := "module " + module
	type result struct {
		findings     []Finding
		certificates []seenCertificate
	}
	ctx, cancel := context.WithTimeout(ctx, d.Patience)
	defer cancel()
	done := make(chan result, 1)
	var own []Finding
	one := &doctor{Examination: d.Examination, log: d.log, load: d.load, out: &own}
	if !one.moduleFile(subject, module) {
		return own
	}
	file := slices.Clone(own)
	go func() {
		one.module(ctx, subject, module)
		done <- result{own, one.certificates}
	}()
	select {
	case r := <-done:
		d.certificates = append(d.certificates, r.certificates...)
		return r.findings
	case <-ctx.Done(): // what the goroutine finds is nobody's any more
		late := &doctor{out: &file}
		late.say("module.hangs", subject, "it did not answer within %v", d.Patience)
		return file
	}
}

// module loads a module and looks at its tokens.
func (d *doctor) module(ctx context.Context, subject, path string) {
	configured := slices.DeleteFunc(slices.Clone(d.Tokens), func(t TokenConfig) bool { return t.Module != path })
	o := hostOptions{Log: d.log, CallTime: d.Patience}
	for _, t := range configured {
		if d.LogIn && !t.PIN.IsZero() {
			o.Logins = append(o.Logins, t.logins()...)
		}
	}
	h, err := d.load(ctx, path, o)
	if err != nil {
		d.say("module.refused", subject, "%v", err)
		return
	}
	defer func() {
		// A call may learn of the end of the module's process before Lost does.
		if _, err := h.Slots(); errors.Is(err, p11.ErrLost) {
			d.say("module.crashes", subject, "its process ended while it was examined")
		}
		_ = h.Close(context.WithoutCancel(ctx))
	}()
	slots, err := h.Slots()
	if err != nil {
		d.say("module.refused", subject, "C_GetSlotList: %v", err)
		return
	}
	if len(slots) == 0 {
		d.say("slot.none", subject, "it shows no token")
	}
	for _, slot := range slots {
		if _, err := h.TokenInfo(slot); err != nil {
			d.say("slot.silent", subject, "slot %d: %v", slot, err)
		}
	}
	all, err := tokens(h)
	if err != nil {
		d.say("module.refused", subject, "%v", err)
		return
	}
	d.moduleLoaded(subject, all)
	for _, t := range configured {
		d.configuredToken(ctx, h, t)
	}
	if len(configured) == 0 {
		for _, found := range all {
			d.token(ctx, h, found, TokenConfig{Name: nameOr(found.Label, "in slot "+fmt.Sprint(found.Slot))})
		}
	}
}

func nameOr(name, otherwise string) string {
	if strings.TrimSpace(name) == "" {
		return otherwise
	}
	return name
}

func (d *doctor) moduleLoaded(subject string, all []foundToken) {
	if len(all) == 0 {
		return
	}
	l := all[0].raw.Library
	d.say("module.answers", subject, "%s %s, version %s, PKCS#11 %s; tokens: %d",
		l.Manufacturer, l.Description, l.Version, l.Interface, len(all))
}

func (d *doctor) configuredToken(ctx context.Context, h host, t TokenConfig) {
	t.Name = nameOr(nameOr(t.Name, t.Label), t.Serial)
	found, err := findToken(h, t.Label, t.Serial)
	if err == nil {
		d.token(ctx, h, found, t)
		return
	}
	code := "token.silent"
	switch KindOf(err) {
	case Away:
		code = "token.absent"
	case Ambiguous:
		code = "token.ambiguous"
	}
	d.say(code, "token "+t.Name, "%v", cause(err))
}

// cause is err without what was attempted, which the finding says.
func cause(err error) error {
	if e, ok := errors.AsType[*Error](err); ok && e.Err != nil {
		return e.Err
	}
	return err
}

// token looks at what a token says of itself, then at its objects.
func (d *doctor) token(ctx context.Context, h host, found foundToken, t TokenConfig) {
	subject := "token " + t.Name
	i := found.TokenInfo
	seen := fmt.Sprintf("%s %s, firmware %s, serial %s, slot %d, profile %s", i.Manufacturer, i.Model, i.Firmware,
		nameOr(i.Serial, "none"), i.Slot, i.Vendor.Name)
	if i.Vendor == &generic {
		d.say("token.unknown-vendor", subject, "%s", seen)
	} else {
		d.say("token.seen", subject, "%s", seen)
	}
	if !i.Initialised {
		d.say("token.uninitialised", subject, "it has no label and no PIN")
		return
	}
	d.tokenClock(subject, found.raw)
	d.mechanisms(subject, h, found)
	ready := d.pinFlags(subject, found.raw)
	tries := d.LogIn && !t.PIN.IsZero() && t.StateDir != ""
	if t.StateDir != "" && (!d.pinRecord(subject, t, i.Serial, tries) || CheckStateDir(t.StateDir) != nil) {
		ready = false
	}
	for _, source := range []PINSource{t.PIN, t.KeyPIN} {
		if !source.IsZero() && !d.pinSource(subject, i.Serial, source) {
			ready = false
		}
	}
	s, err := h.OpenSession(i.Slot, false)
	if err != nil {
		d.say("token.silent", subject, "C_OpenSession: %v", err)
		return
	}
	defer func() { _ = h.CloseSession(s) }()
	in := false
	switch {
	case !d.LogIn:
		d.say("pin.not-tried", subject, "private keys are invisible without a login")
	case !tries:
		d.say("pin.not-tried", subject, "not tried: no PIN or no state directory is given")
	case !ready:
		d.say("pin.not-tried", subject, "not tried, for what was found above")
	default:
		err := h.LogIn(ctx, s, i.Slot, pin.Login{Serial: i.Serial, Source: t.PIN, StateDir: t.StateDir,
			AllowFinalTry: t.AllowFinalTry, FlagsTrusted: i.Vendor.PINFlagsTrusted})
		if err != nil {
			d.say("pin.refused", subject, "%v", cause(err))
			break
		}
		in = true
		d.say("pin.accepted", subject, "the token took the PIN")
		if isFactoryPIN(i.Vendor, t.PIN) {
			d.say("pin.factory", subject, "it is the one that every token of %s leaves the factory with", i.Vendor.Title)
		}
	}
	d.keys(subject, reader{h, s, i.Vendor, t.confirmer(ctx, h, i.Slot, i.Serial)}, t.Name, in)
}

// mechanisms compares what the token can with what its keys need.
func (d *doctor) mechanisms(subject string, h host, found foundToken) {
	able, err := h.Mechanisms(found.Slot)
	if err != nil {
		d.say("token.silent", subject, "C_GetMechanismList: %v", err)
		return
	}
	var can []string
	v := found.Vendor
	for _, m := range []struct {
		mechanism uint
		name      string
	}{{v.Mechanism256, "gost256"}, {v.Mechanism512, "gost512"}} {
		if m.mechanism != 0 && slices.Contains(able, m.mechanism) {
			can = append(can, m.name)
		}
	}
	if len(can) == 0 {
		d.say("token.no-gost", subject, "none of its %d mechanisms is a signature of GOST R 34.10 without a hash", len(able))
		return
	}
	generates := ""
	if !slices.Contains(able, p11.MechGOSTKeyPair) && !slices.Contains(able, p11.MechGOST512KeyPair) {
		generates = "; it makes no keys"
	}
	d.say("token.mechanisms", subject, "signs with %s%s", strings.Join(can, ", "), generates)
}
