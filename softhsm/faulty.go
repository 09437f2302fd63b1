package softhsm

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/epov-signer/epov/internal/oracle"
)

// Faulty is a token behind the shim of softhsm/fault, which is told what to do wrong while the token is in use. Safe for
// concurrent use. Several can be at work in one process: each has modules of its own.
type Faulty struct {
	*Token

	tb      testing.TB
	control string
	base    []string // lines that always hold
	mutex   sync.Mutex
	killed  int
	changes int
	current []string
}

// NewFaulty makes a token without a fault so far, cleaned up with the test. Where the modules have not been built the test
// skips, or fails with EPOV_REQUIRE=1.
func NewFaulty(tb testing.TB) *Faulty {
	tb.Helper()
	soft, shim := Module(), Shim()
	if soft == "" || shim == "" {
		oracle.Missing(tb, "SoftHSM with GOST and the shim that injects faults")
	}
	// A library is loaded once to a process and has one set of variables; a copy is another library.
	dir := tb.TempDir()
	module, hidden := filepath.Join(dir, "fault.so"), filepath.Join(dir, "libsofthsm2.so")
	for from, to := range map[string]string{shim: module, soft: hidden} {
		if err := copyFile(from, to); err != nil {
			tb.Fatal(err)
		}
	}
	f := &Faulty{Token: newToken(tb, soft, memoryDir(tb)), tb: tb, control: module + ".conf"}
	f.Module = module
	f.base = []string{"module " + hidden, "env SOFTHSM2_CONF=" + f.Conf}
	f.Set()
	return f
}

// Set says all that is wrong with the token from now on, one line of the control file each (README.md lists them); without a
// line there is nothing wrong. Calls are counted anew, and calls that hang go on.
func (f *Faulty) Set(lines ...string) {
	f.tb.Helper()
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.current = slices.Clone(lines)
	f.write()
}

// KillSessions lets every open session die, as a token does that lost power for a moment. What Set said holds on.
func (f *Faulty) KillSessions() {
	f.tb.Helper()
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.killed++
	f.write()
}

func (f *Faulty) write() {
	f.tb.Helper()
	// Files written at once have one time of change, and may have one inode; their sizes shall differ.
	f.changes++
	changes := "#" + strings.Repeat(".", f.changes%64)
	text := strings.Join(slices.Concat(f.base, []string{changes, fmt.Sprint("kill-sessions ", f.killed)}, f.current), "\n") + "\n"
	// Another file of the same name: a call reads the old text or the new one.
	if err := os.WriteFile(f.control+".new", []byte(text), 0o600); err != nil {
		f.tb.Error(err)
		return
	}
	if err := os.Rename(f.control+".new", f.control); err != nil {
		f.tb.Error(err)
	}
}

// Calls counts the calls of a function such as C_Login since the token was made, those that failed and those of other
// processes too.
func (f *Faulty) Calls(function string) int {
	f.tb.Helper()
	i := slices.Index(functions, function)
	if i < 0 {
		f.tb.Fatalf("softhsm: no function %s", function)
	}
	return f.state(2 + i)
}

// WrongPINs counts the wrong user PINs since the last right one, while a line "pin-tries" holds.
func (f *Faulty) WrongPINs() int { f.tb.Helper(); return f.state(0) }

// Sessions counts the open sessions of the process that opened or closed one last.
func (f *Faulty) Sessions() int { f.tb.Helper(); return f.state(1) }

// state reads one number of the file that the shim shares; see control.h.
func (f *Faulty) state(i int) int {
	f.tb.Helper()
	data, err := os.ReadFile(f.control + ".state")
	if os.IsNotExist(err) {
		return 0
	}
	if err != nil || len(data) < 8*(i+1) {
		f.tb.Fatalf("softhsm: the shim's state: %d octets, %v", len(data), err)
	}
	return int(binary.NativeEndian.Uint64(data[8*i:]))
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// functions are those of PKCS#11 2.40 in the order of CK_FUNCTION_LIST.
var functions = strings.Fields(`
	C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo C_GetTokenInfo C_GetMechanismList
	C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN C_OpenSession C_CloseSession C_CloseAllSessions C_GetSessionInfo
	C_GetOperationState C_SetOperationState C_Login C_Logout C_CreateObject C_CopyObject C_DestroyObject C_GetObjectSize
	C_GetAttributeValue C_SetAttributeValue C_FindObjectsInit C_FindObjects C_FindObjectsFinal C_EncryptInit C_Encrypt
	C_EncryptUpdate C_EncryptFinal C_DecryptInit C_Decrypt C_DecryptUpdate C_DecryptFinal C_DigestInit C_Digest
	C_DigestUpdate C_DigestKey C_DigestFinal C_SignInit C_Sign C_SignUpdate C_SignFinal C_SignRecoverInit C_SignRecover
	C_VerifyInit C_Verify C_VerifyUpdate C_VerifyFinal C_VerifyRecoverInit C_VerifyRecover C_DigestEncryptUpdate
	C_DecryptDigestUpdate C_SignEncryptUpdate C_DecryptVerifyUpdate C_GenerateKey C_GenerateKeyPair C_WrapKey C_UnwrapKey
	C_DeriveKey C_SeedRandom C_GenerateRandom C_GetFunctionStatus C_CancelFunction C_WaitForSlotEvent`)
