package tpm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/epov-signer/epov/internal/swtpm"
)

const (
	testPIN    = "tpm-secret-48151623"
	testSerial = "0f00a1"
)

func wantKind(t *testing.T, err error, want Kind, text string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != want || !strings.Contains(err.Error(), text) {
		t.Errorf("%v, want an error of kind %d about %q", err, want, text)
	}
	if err != nil && strings.Contains(err.Error(), testPIN) {
		t.Error("the error tells the PIN")
	}
}

func sealed(t *testing.T, device string, pcrs ...int) *Sealed {
	t.Helper()
	s, err := Seal(device, pcrs, testSerial, testPIN)
	if err != nil {
		t.Fatal(err)
	}
	data, err := s.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte(testPIN)) || len(data) > MaxFile {
		t.Errorf("a file of %d octets: %s", len(data), data)
	}
	if s, err = Parse(data); err != nil {
		t.Fatal(err)
	}
	return s
}

func unsealed(s *Sealed, device string) (pin string, err error) {
	err = s.Unseal(device, func(octets []byte) error { pin = string(octets); return nil })
	return pin, err
}

func wantPIN(t *testing.T, s *Sealed, device string) {
	t.Helper()
	if pin, err := unsealed(s, device); err != nil || pin != testPIN {
		t.Errorf("%q, %v", pin, err)
	}
}

func TestSealing(t *testing.T) {
	tpm := swtpm.New(t)
	tpm.Extend(7, "secure boot")
	s := sealed(t, tpm.Socket, 11, 7)
	if n := s.Unmeasured(); len(n) != 1 || n[0] != 11 {
		t.Errorf("nothing was measured into %v", n)
	}
	if s.Serial != testSerial || len(s.PCRs) != 2 || s.Registers()[0] != 7 {
		t.Errorf("%+v", s)
	}
	for range 5 { // nothing is left in the TPM, which has room for three
		wantPIN(t, s, tpm.Socket)
	}
	tpm.Extend(12, "not among them")
	wantPIN(t, s, tpm.Socket)

	tpm.Stop()
	_, err := unsealed(s, tpm.Socket)
	wantKind(t, err, Absent, "no TPM to use")
	tpm.Start()
	_, err = unsealed(s, tpm.Socket)
	wantKind(t, err, Changed, "PCR 7 changed")
	tpm.Extend(7, "secure boot")
	wantPIN(t, s, tpm.Socket)

	tpm.Extend(11, "another kernel")
	_, err = unsealed(s, tpm.Socket)
	wantKind(t, err, Changed, "PCR 11 changed")
	tpm.Extend(7, "another key")
	_, err = unsealed(s, tpm.Socket)
	wantKind(t, err, Changed, "PCR 7, 11 changed")

	other := swtpm.New(t)
	other.Extend(7, "secure boot")
	_, err = unsealed(s, other.Socket)
	wantKind(t, err, Foreign, "another TPM")
	// Where the key is not compared the TPM itself finds out.
	again := sealed(t, other.Socket, 7, 11)
	s.key = again.key
	_, err = unsealed(s, other.Socket)
	wantKind(t, err, Damaged, "TPM_RC_INTEGRITY")

	wantPIN(t, again, other.Socket)
	other.Clear()
	_, err = unsealed(again, other.Socket)
	wantKind(t, err, Foreign, "cleared")
	again = sealed(t, other.Socket, 7)
	other.SetOwnerPassword("owner")
	_, err = unsealed(again, other.Socket)
	wantKind(t, err, Absent, "has a password")
}

func TestAltered(t *testing.T) {
	tpm := swtpm.New(t)
	good := sealed(t, tpm.Socket, 7)
	spoilt := func(alter func(s *Sealed)) error {
		s := *good
		s.public, s.private, s.PCRs = bytes.Clone(s.public), bytes.Clone(s.private), map[int]Digest{7: s.PCRs[7]}
		alter(&s)
		_, err := unsealed(&s, tpm.Socket)
		return err
	}
	for i := range good.private {
		wantKind(t, spoilt(func(s *Sealed) { s.private[i] ^= 1 }), Damaged, "altered")
	}
	for i := range good.public {
		wantKind(t, spoilt(func(s *Sealed) { s.public[i] ^= 1 }), Damaged, "altered")
	}
	for _, n := range []int{1, len(good.private) / 2} {
		wantKind(t, spoilt(func(s *Sealed) { s.private = s.private[:n] }), Damaged, "altered")
		wantKind(t, spoilt(func(s *Sealed) { s.public = s.public[:n] }), Damaged, "altered")
	}
	wantKind(t, spoilt(func(s *Sealed) { s.PCRs = map[int]Digest{8: s.PCRs[7]} }), Damaged, "altered")
	wantKind(t, spoilt(func(s *Sealed) { s.Serial = "0f00a2" }), Damaged, "another token")
	wantPIN(t, good, tpm.Socket)
}

// Nothing that goes to the TPM or comes from it shows the PIN.
func TestBus(t *testing.T) {
	tpm := swtpm.New(t)
	bus := filepath.Join(filepath.Dir(tpm.Socket), "bus")
	listener, err := net.Listen("unix", bus)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var mutex sync.Mutex
	var seen bytes.Buffer
	record := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, io.TeeReader(from, writer(func(b []byte) { mutex.Lock(); seen.Write(b); mutex.Unlock() })))
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", tpm.Socket)
			if err != nil {
				t.Error(err)
				client.Close()
				return
			}
			go func() { record(client, server); client.Close() }()
			go func() { record(server, client); server.Close() }()
		}
	}()
	s := sealed(t, bus, 7)
	wantPIN(t, s, bus)
	mutex.Lock()
	defer mutex.Unlock()
	if seen.Len() < 1000 || !bytes.Contains(seen.Bytes(), s.private) {
		t.Fatalf("the bus was not recorded: %d octets", seen.Len())
	}
	for n := 6; n <= len(testPIN); n += 3 {
		if bytes.Contains(seen.Bytes(), []byte(testPIN[:n])) || bytes.Contains(seen.Bytes(), []byte(testPIN[len(testPIN)-n:])) {
			t.Fatalf("the PIN crosses the bus:\n%s", hex.Dump(seen.Bytes()))
		}
	}
}

type writer func(b []byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

func TestNoDevice(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "none"), plain, dir} {
		_, err := Seal(path, []int{7}, testSerial, testPIN)
		wantKind(t, err, Absent, "no TPM to use")
	}
	// One that says nothing, one that says nonsense.
	for _, answer := range []string{"", "\x80\x01\x00\x00", "\x80\x01\xff\xff\xff\xff\x00\x00\x00\x00", strings.Repeat("\x00", 20)} {
		dir, err := os.MkdirTemp("", "tpm")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		listener, err := net.Listen("unix", filepath.Join(dir, "s"))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		go func() {
			c, err := listener.Accept()
			if err == nil {
				_, _ = io.ReadFull(c, make([]byte, 10))
				_, _ = c.Write([]byte(answer))
				_ = c.Close()
			}
		}()
		_, err = Seal(listener.Addr().String(), []int{7}, testSerial, testPIN)
		wantKind(t, err, Failed, "")
	}
}

func TestBounds(t *testing.T) {
	for _, bad := range []struct {
		pcrs        []int
		serial, pin string
	}{
		{nil, testSerial, testPIN}, {[]int{24}, testSerial, testPIN}, {[]int{-1}, testSerial, testPIN},
		{[]int{7}, "", testPIN}, {[]int{7}, "a\x00b", testPIN}, {[]int{7}, strings.Repeat("0", 65), testPIN},
		{[]int{7}, testSerial, ""}, {[]int{7}, testSerial, strings.Repeat("9", 122)},
	} {
		_, err := Seal("/nonexistent", bad.pcrs, bad.serial, bad.pin)
		wantKind(t, err, Damaged, "")
	}
	tpm := swtpm.New(t)
	long := strings.Repeat("9", maxSensitive-1-len(testSerial))
	s, err := Seal(tpm.Socket, []int{0, 23}, testSerial, long)
	if err != nil {
		t.Fatal(err)
	}
	if pin, err := unsealed(s, tpm.Socket); err != nil || pin != long {
		t.Error(pin, err)
	}
}

func TestReturnCodes(t *testing.T) {
	for _, test := range []struct {
		op   string
		code tpm2.TPMRC
		kind Kind
		text string
	}{
		{unseal, tpm2.TPMRCLockout, LockedUp, "lockout"},
		{unseal, tpm2.TPMRCInitialize, Absent, "firmware"},
		{makeKey, tpm2.TPMRCHierarchy, Absent, "disabled"},
		{unseal, tpm2.TPMRCRetry, Failed, "unseal"},
		{unseal, tpm2.TPMRCFailure, Failed, "unseal"},
	} {
		err := (&Sealed{}).refusal(test.op, test.code, nil)
		wantKind(t, err, test.kind, test.text)
		if err.Permanent() == (test.kind == Failed) {
			t.Errorf("%v: permanent %v", err, err.Permanent())
		}
	}
}
