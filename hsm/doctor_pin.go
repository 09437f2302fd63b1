package hsm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/hsm/internal/pin"
	"github.com/epov-signer/epov/hsm/internal/tpm"
)

// process looks at what this process can do.
func (d *doctor) process() {
	if err := CheckPINMemory(); err != nil {
		d.say("pin.memory", "process", "%v", err)
	}
}

// pinFlags says whether the token's flags allow a login.
func (d *doctor) pinFlags(subject string, raw p11.TokenInfo) bool {
	has := func(flag uint) bool { return raw.Flags&flag != 0 }
	switch {
	case !has(p11.FlagUserPINSet):
		d.say("pin.not-set", subject, "the user PIN was never set")
	case has(p11.FlagPINLocked):
		d.say("pin.locked", subject, "the user PIN is locked")
	case has(p11.FlagPINFinalTry):
		d.say("pin.final-try", subject, "one try of the user PIN is left")
	case has(p11.FlagPINToBeChanged):
		d.say("pin.to-be-changed", subject, "the token wants its user PIN changed first")
	case has(p11.FlagProtectedPath):
		d.say("pin.pad", subject, "the token takes its PIN from a pad of its own")
	case has(p11.FlagPINCountLow):
		d.say("pin.count-low", subject, "a wrong PIN was given since the last login")
		return true
	default:
		d.say("pin.flags", subject, "nothing speaks against a login")
		return true
	}
	return false
}

// pinRecord says whether the record of refused PINs allows a login, as far as that can be said without the PIN. Where one is
// tried, it says itself whether it is among them.
func (d *doctor) pinRecord(subject string, t TokenConfig, serial string, tries bool) bool {
	r, err := pin.Inspect(t.StateDir, serial)
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist):
		return true // the folder was looked at
	case err != nil:
		d.say("pin.record", subject, "%v", err)
		return false
	case r.Refused > 0 && tries:
	case r.Refused > 0:
		d.say("pin.record", subject, "PINs that the token has refused since the last login: %d; %s keeps them from being tried again",
			r.Refused, r.Path)
	case r.Attempt != nil:
		d.say("pin.attempt", subject, "since %s, in %s", r.Attempt.Format(time.RFC3339), r.Path)
	}
	return true // the guard decides by the PIN itself
}

// pinSource says whether the PIN can be read; it is not tried.
func (d *doctor) pinSource(subject, serial string, s PINSource) bool {
	if s.Descriptor != 0 || s.Credential != "" && os.Getenv("CREDENTIALS_DIRECTORY") == "" {
		d.say("pin.source-later", subject, "the PIN is in a credential or descriptor of the service")
		return false
	}
	if s.TPM != "" {
		return d.sealedPIN(subject, serial, s)
	}
	p, err := s.Read()
	if err != nil {
		d.say("pin.source", subject, "%v", err)
		return false
	}
	if s.Value == (PIN{}) {
		p.Wipe()
	}
	return true
}

// sealedPIN says whether the TPM gives the PIN, and what its sealing is worth.
func (d *doctor) sealedPIN(subject, serial string, s PINSource) bool {
	sealed, err := ReadSealedPIN(s.TPM)
	if err == nil && sealed.Serial != serial {
		d.say("tpm.other-token", subject, "%s was sealed for token serial %s", s.TPM, sealed.Serial)
		return false
	}
	if err == nil {
		err = TestSealedPIN(s.TPM, s.Device)
	}
	if e, ok := errors.AsType[*tpm.Error](err); ok {
		code := "tpm.failed"
		switch e.Kind {
		case tpm.Absent:
			code = "tpm.absent"
		case tpm.Changed:
			code = "tpm.changed"
		case tpm.Foreign, tpm.Damaged:
			code = "tpm.foreign"
		case tpm.LockedUp:
			code = "tpm.locked-up"
		}
		d.say(code, subject, "%v", cause(err))
		return false
	}
	if err != nil {
		d.say("pin.source", subject, "%v", cause(err))
		return false
	}
	d.say("tpm.unseals", subject, "the TPM gives out the PIN that was sealed on %s to PCR %s",
		sealed.Time.Format(time.DateOnly), list(sealed.PCRs))
	if len(sealed.Unmeasured) > 0 {
		d.say("tpm.unmeasured", subject, "nothing was measured into PCR %s", list(sealed.Unmeasured))
	}
	return true
}

func list(numbers []int) string {
	var out []string
	for _, n := range numbers {
		out = append(out, strconv.Itoa(n))
	}
	return strings.Join(out, ", ")
}

// stateDir looks at the folder that remembers refused PINs.
func (d *doctor) stateDir(t TokenConfig) {
	if t.StateDir == "" {
		return
	}
	subject := "token " + nameOr(nameOr(t.Name, t.Label), t.Serial)
	info, err := os.Stat(t.StateDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.say("state.missing", subject, "%s is not there yet", t.StateDir)
		return
	case err != nil:
		d.say("state.not-ours", subject, "%v", err)
		return
	case !info.IsDir():
		d.say("state.unwritable", subject, "%s is no folder", t.StateDir)
		return
	case info.Mode().Perm()&0o022 != 0:
		d.say("state.open", subject, "%s has mode %#o: others can take the record away", t.StateDir, info.Mode().Perm())
		return
	}
	if err := CheckStateDir(t.StateDir); err != nil {
		d.say("state.not-ours", subject, "%v", cause(err))
		return
	}
	if err := unix.Access(t.StateDir, unix.W_OK|unix.X_OK); err != nil {
		d.say("state.unwritable", subject, "%s: %v", t.StateDir, err)
		return
	}
	d.say("state.good", subject, "%s can remember refused PINs", t.StateDir)
}

type fileTime struct {
	path    string
	changed time.Time
}

// fileTimes are the times of the files given, of the modules and of what lies in the state directories.
func (d *doctor) fileTimes() (times []fileTime) {
	paths := append([]string{}, d.Files...)
	for _, t := range d.Tokens {
		paths = append(paths, t.Module)
		if t.StateDir != "" {
			inside, _ := filepath.Glob(filepath.Join(t.StateDir, "*"))
			paths = append(append(paths, t.StateDir), inside...)
		}
	}
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			times = append(times, fileTime{path, info.ModTime()})
		}
	}
	return times
}

func isFactoryPIN(v *Vendor, s PINSource) bool {
	p, err := s.Read()
	if err != nil {
		return false
	}
	if s.Value == (PIN{}) {
		defer p.Wipe()
	}
	return v.isFactory(p)
}
