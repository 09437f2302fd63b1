package hsm

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/hsm/internal/pin"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/softhsm"
)

// Each code that is said has a diagnosis, and none is there for nothing.
func TestDiagnoses(t *testing.T) {
	files, err := filepath.Glob("doctor*.go")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "doctor_codes.go" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:say\(|code :?= )"([a-z0-9.-]+)"`).FindAllStringSubmatch(string(text), -1) {
			said[m[1]] = true
		}
	}
	for _, code := range Diagnoses() {
		if !said[code] {
			t.Errorf("%s is never said", code)
		}
		if about := diagnoses[code]; (about.advice == "") != (about.severity == Good) {
			t.Errorf("%s: advice goes with everything that is not good", code)
		}
		delete(said, code)
	}
	for code := range said {
		t.Errorf("%s has no diagnosis", code)
	}
}

// codesOf lists what is not good as "severity code".
func codesOf(findings []Finding) (codes []string) {
	for _, f := range findings {
		if f.Severity >= Warning {
			codes = append(codes, f.Severity.String()+" "+f.Code)
		}
	}
	return codes
}

func find(findings []Finding, code string) *Finding {
	i := slices.IndexFunc(findings, func(f Finding) bool { return f.Code == code })
	if i < 0 {
		return nil
	}
	return &findings[i]
}

// anyModule is a library that passes for a module, so that the fake is asked.
func anyModule(t *testing.T) string {
	t.Helper()
	module := softhsm.Module()
	if module == "" {
		oracle.Missing(t, "a PKCS#11 library")
	}
	return module
}

func TestDoctorOnFake(t *testing.T) {
	module := anyModule(t)
	set := func(flags uint) func(*stand, *Examination) {
		return func(f *stand, _ *Examination) { f.SetFlags(p11.FlagTokenInitialised | p11.FlagUserPINSet | flags) }
	}
	fault := func(call string, code p11.Error) func(*stand, *Examination) {
		return func(f *stand, _ *Examination) {
			f.Fault = func(c string) error {
				if c == call {
					return code
				}
				return nil
			}
		}
	}
	for _, test := range []struct {
		name  string
		upset func(f *stand, e *Examination)
		logIn bool
		want  []string // of weight; in the order of the walk
		tries int
	}{
		{name: "well", logIn: true, want: []string{"warning key.weak", "warning key.no-certificate"}, tries: 1},
		{name: "well, not logged in", want: []string{"warning key.no-certificate"}},
		{name: "locked", upset: set(p11.FlagPINLocked), logIn: true, want: []string{"fault pin.locked", "warning key.no-certificate"}},
		{name: "final try", upset: set(p11.FlagPINFinalTry), logIn: true,
			want: []string{"fault pin.final-try", "warning key.no-certificate"}},
		{name: "count low", upset: set(p11.FlagPINCountLow), want: []string{"warning pin.count-low", "warning key.no-certificate"}},
		{name: "to be changed", upset: set(p11.FlagPINToBeChanged),
			want: []string{"fault pin.to-be-changed", "warning key.no-certificate"}},
		{name: "pad", upset: set(p11.FlagProtectedPath), want: []string{"fault pin.pad", "warning key.no-certificate"}},
		{name: "no PIN", upset: func(f *stand, _ *Examination) { f.SetFlags(p11.FlagTokenInitialised) },
			want: []string{"fault pin.not-set", "warning key.no-certificate"}},
		{name: "uninitialised", upset: func(f *stand, e *Examination) {
			f.SetFlags(0)
			e.Tokens, e.Keys, e.Modules = nil, nil, []string{module}
		},
			want: []string{"warning token.uninitialised"}},
		{name: "absent", upset: func(f *stand, e *Examination) { e.Tokens[0].Label = "other" }, want: []string{"fault token.absent"}},
		{name: "silent", upset: fault("GetTokenInfo", p11.TokenNotRecognized), want: []string{"warning slot.silent", "fault token.absent"}},
		{name: "no slots", upset: fault("GetSlotList", p11.DeviceError), want: []string{"fault module.refused"}},
		{name: "no mechanisms", upset: fault("GetMechanismList", p11.DeviceError),
			want: []string{"fault token.silent", "warning key.no-certificate"}},
		{name: "no session", upset: fault("OpenSession", p11.SessionCount), want: []string{"fault token.silent"}},
		{name: "wrong PIN", upset: func(_ *stand, e *Examination) { e.Tokens[0].PIN = PINValue(NewPIN([]byte("wrong-pin"))) }, logIn: true,
			want: []string{"fault pin.refused", "warning key.no-certificate"}, tries: 1},
		{name: "key absent", upset: func(_ *stand, e *Examination) { e.Keys[0].ID = "EXMP01/ov/9" }, logIn: true,
			want: []string{"fault key.absent"}, tries: 1},
		{name: "key twice", upset: func(f *stand, _ *Examination) { f.addKey("EXMP01/ov/1", nil) }, logIn: true,
			want: []string{"fault key.duplicate"}, tries: 1},
		{name: "key for a person", upset: func(f *stand, e *Examination) {
			f.Add(p11.Attr(p11.AttrClass, p11.ClassPrivateKey), p11.Attr(p11.AttrID, "touch/ov/1"),
				p11.Attr(p11.AttrKeyType, p11.KeyTypeGOST), p11.Attr(p11.AttrRutokenTouch, true))
			e.Keys[0].ID = "touch/ov/1"
		}, logIn: true, want: []string{"fault key.unusable"}, tries: 1},
		{name: "wrong signature", upset: func(f *stand, _ *Examination) {
			right := f.Signer
			f.Signer = func(data []byte) ([]byte, error) { return right(make([]byte, len(data))) }
		}, logIn: true, want: []string{"warning key.weak", "fault key.wrong-signature"}, tries: 1},
		{name: "does not sign", upset: fault("Sign", p11.GeneralError), logIn: true,
			want: []string{"warning key.weak", "fault key.silent"}, tries: 1},
		{name: "clock", upset: func(_ *stand, e *Examination) { e.Now = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC) },
			want: []string{"warning key.no-certificate", "fault clock.behind"}},
		{name: "token's clock", upset: func(f *stand, _ *Examination) {
			f.SetInfo(func(i *p11.TokenInfo) { i.Clock = "2001010100000000" })
		}, want: []string{"warning key.no-certificate"}},
		{name: "state for all", upset: func(_ *stand, e *Examination) {
			if err := os.Chmod(e.Tokens[0].StateDir, 0o777); err != nil {
				t.Fatal(err)
			}
		}, want: []string{"fault state.open", "warning key.no-certificate"}},
		{name: "no PIN file", upset: func(_ *stand, e *Examination) { e.Tokens[0].PIN = PINFile("/nonexistent") }, logIn: true,
			want: []string{"fault pin.source", "warning key.no-certificate"}},
		{name: "refused before", upset: func(f *stand, e *Examination) {
			right := e.Tokens[0].PIN
			e.Tokens[0].PIN = PINValue(NewPIN([]byte("wrong-pin")))
			e.LogIn = true
			examine(t.Context(), *e, slog.New(slog.DiscardHandler), f.load)
			e.Tokens[0].PIN, e.LogIn = right, false
		}, want: []string{"fault pin.record", "warning key.no-certificate"}, tries: 1},
		{name: "corrected since", upset: func(f *stand, e *Examination) {
			right := e.Tokens[0].PIN
			e.Tokens[0].PIN = PINValue(NewPIN([]byte("wrong-pin")))
			examine(t.Context(), *e, slog.New(slog.DiscardHandler), f.load)
			e.Tokens[0].PIN = right
		}, logIn: true, want: []string{"warning key.weak", "warning key.no-certificate"}, tries: 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newStand(t)
			if err := os.Mkdir(f.cfg.StateDir, 0o700); err != nil {
				t.Fatal(err)
			}
			f.cfg.Name, f.cfg.Module = "main", module
			e := Examination{Tokens: []TokenConfig{f.cfg}, LogIn: test.logIn,
				Keys: []ExaminedKey{{Name: "keys/EXMP01/ov/versions/1", Token: "main", ID: "EXMP01/ov/1"}}}
			if test.upset != nil {
				test.upset(f, &e)
			}
			before := f.Objects()
			findings := examine(t.Context(), e, slog.New(slog.DiscardHandler), f.load)
			// The fake tells few attributes of its key; that it is kept badly is one of the things to be found.
			if got := slices.Compact(codesOf(findings)); !slices.Equal(got, test.want) {
				t.Errorf("found %q, want %q", got, test.want)
			}
			if f.Calls("Login") != test.tries {
				t.Errorf("%d tries of the PIN, want %d", f.Calls("Login"), test.tries)
			}
			if f.Sessions() != 0 || f.Objects() != before {
				t.Error("something is left open or changed")
			}
			for _, finding := range findings {
				if strings.Contains(fmt.Sprint(finding), fakePIN) || strings.Contains(fmt.Sprint(finding), "wrong-pin") {
					t.Errorf("a finding tells the PIN: %v", finding)
				}
			}
		})
	}
}

// A module that hangs does not hold the examination.
func TestDoctorDoesNotWait(t *testing.T) {
	f := newStand(t)
	release := make(chan struct{})
	f.Fault = func(call string) error {
		if call == "GetTokenInfo" {
			<-release
		}
		return nil
	}
	f.cfg.Module = anyModule(t)
	findings := examine(t.Context(), Examination{Tokens: []TokenConfig{f.cfg}, Patience: 20 * time.Millisecond},
		slog.New(slog.DiscardHandler), f.load)
	if find(findings, "module.hangs") == nil {
		t.Errorf("%v", findings)
	}
	close(release)
}

// Files that are no module are told apart without being loaded.
func TestDoctorOfFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, change func([]byte) []byte) string {
		data, err := os.ReadFile(anyModule(t))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, change(data), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	load := func(context.Context, string, hostOptions) (host, error) {
		t.Error("it was loaded")
		return nil, os.ErrInvalid
	}
	replace := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte { return []byte(strings.ReplaceAll(string(b), old, new)) }
	}
	for _, test := range []struct{ path, want string }{
		{filepath.Join(dir, "none.so"), "module.missing"},
		{dir, "module.no-library"},
		{write("text.so", func([]byte) []byte { return []byte("no library") }), "module.no-library"},
		{"/proc/self/exe", "module.no-library"},
		{write("machine.so", func(b []byte) []byte { b[18] ^= 0x51; return b }), "module.architecture"},
		{write("other.so", replace("C_GetFunctionList", "C_GetFunctionLust")), "module.no-pkcs11"},
		{write("needs.so", replace("libcrypto.so.", "libcrypta.so.")), "module.needs"},
	} {
		findings := examine(t.Context(), Examination{Modules: []string{test.path}}, slog.New(slog.DiscardHandler), load)
		if f := find(findings, test.want); f == nil || f.Advice == "" {
			t.Errorf("%s: %v, want %s", test.path, findings, test.want)
		}
	}
}

func TestDoctorOnToken(t *testing.T) {
	soft := softhsm.New(t)
	cfg := TokenConfig{Name: "main", Module: soft.Module, Label: soft.Label, PIN: PINValue(NewPIN([]byte(soft.PIN))),
		StateDir: filepath.Join(t.TempDir(), "state")}
	token, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	public, err := token.GenerateKey(t.Context(), "EXMP01/ov/1", algorithm256(), cryptoProASet())
	if err != nil {
		t.Fatal(err)
	}
	if err := token.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := Examination{Tokens: []TokenConfig{cfg}, LogIn: true,
		Keys: []ExaminedKey{{Name: "first", Token: "main", ID: "EXMP01/ov/1"}, {Name: "second", Token: "main", ID: "EXMP01/ov/2"}}}
	findings := Examine(t.Context(), e, slog.New(slog.DiscardHandler))
	if got := codesOf(findings); !slices.Equal(got, []string{"warning key.no-certificate", "fault key.absent"}) {
		t.Errorf("%q", got)
	}
	alone := e
	alone.Isolated = true
	if got, want := codesOf(Examine(t.Context(), alone, slog.New(slog.DiscardHandler))), codesOf(findings); !slices.Equal(got, want) {
		t.Errorf("in a process of its own: %q, want %q", got, want)
	}
	if f := find(findings, "token.seen"); f == nil || !strings.Contains(f.Seen, "profile softhsm") {
		t.Errorf("%v", f)
	}
	if f := find(findings, "key.signs"); f == nil || !strings.Contains(f.Seen, public.Params.Name) {
		t.Errorf("%v", f)
	}
	e.LogIn, e.Keys = false, nil
	findings = Examine(t.Context(), e, slog.New(slog.DiscardHandler))
	if f := find(findings, "key.unseen"); f == nil || f.Subject != "key id EXMP01/ov/1" {
		t.Errorf("%v", findings)
	}
	if r, err := pin.Inspect(cfg.StateDir, soft.Serial); err != nil || r.Refused != 0 {
		t.Errorf("%+v %v", r, err)
	}
}

// Behind the shim: the wrong PIN is tried once however often the examination is made, and a token that is away is named.
func TestDoctorOnShim(t *testing.T) {
	soft := softhsm.NewFaulty(t)
	soft.Set("pin-tries 3")
	cfg := TokenConfig{Name: "main", Module: soft.Module, Label: soft.Label, PIN: PINValue(NewPIN([]byte("not-the-pin"))),
		StateDir: filepath.Join(t.TempDir(), "state")}
	e := Examination{Tokens: []TokenConfig{cfg}, LogIn: true}
	for range 4 {
		if find(Examine(t.Context(), e, slog.New(slog.DiscardHandler)), "pin.refused") == nil {
			t.Error("the refusal is not told")
		}
	}
	if n := soft.WrongPINs(); n != 1 {
		t.Errorf("%d tries", n)
	}
	soft.Set("call C_GetMechanismList abort")
	crash := e
	crash.Isolated = true
	if findings := Examine(t.Context(), crash, slog.New(slog.DiscardHandler)); find(findings, "module.crashes") == nil {
		t.Errorf("%v", findings)
	}
	soft.Set("call C_GetMechanismList hang")
	crash.Patience = time.Second
	if findings := Examine(t.Context(), crash, slog.New(slog.DiscardHandler)); find(findings, "module.hangs") == nil {
		t.Errorf("%v", findings)
	}
	soft.Set("unplug")
	findings := Examine(t.Context(), e, slog.New(slog.DiscardHandler))
	if find(findings, "token.absent") == nil || find(findings, "slot.none") == nil {
		t.Errorf("%v", findings)
	}
}

// A PIN that everybody knows is told of, and not set.
func TestFactoryPIN(t *testing.T) {
	soft := softhsm.NewFaulty(t)
	known := NewPIN([]byte("12345678"))
	options := InitOptions{Label: "fresh", SOPIN: NewPIN([]byte("so-secret")), UserPIN: known,
		StateDir: filepath.Join(t.TempDir(), "state")}
	soft.Set("manufacturer Aktiv Co.", "model Rutoken ECP")
	_, err := InitToken(soft.Module, options)
	wantKind(t, err, Invalid)
	if !strings.Contains(err.Error(), "leave the factory with") {
		t.Error(err)
	}
	soft.Set()
	if _, err := InitToken(soft.Module, options); err != nil {
		t.Fatal(err)
	}
	soft.Set("manufacturer Aktiv Co.", "model Rutoken ECP")
	cfg := TokenConfig{Name: "main", Module: soft.Module, Label: "fresh", PIN: PINValue(known), StateDir: options.StateDir}
	findings := Examine(t.Context(), Examination{Tokens: []TokenConfig{cfg}, LogIn: true}, slog.New(slog.DiscardHandler))
	if find(findings, "pin.factory") == nil || find(findings, "pin.accepted") == nil {
		t.Errorf("%v", findings)
	}
	cfg.PIN = PINValue(known)
	_, err = ChangePIN(t.Context(), cfg, known)
	wantKind(t, err, Invalid)
}
