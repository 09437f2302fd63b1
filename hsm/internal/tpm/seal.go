package tpm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// What a failed step is called.
const (
	makeKey  = "make the storage root key"
	readPCRs = "read the PCRs"
	seal     = "seal"
	load     = "load the sealed object"
	start    = "start a policy session"
	unseal   = "unseal"
)

// maxSensitive is the most that a TPM seals (part 2, MAX_SYM_DATA): the serial number, a zero octet and the PIN.
const maxSensitive = 128

// Seal seals a PIN for the token of that serial number, under the storage root key of the TPM, to the present values of
// the PCRs. device is the path of a device or of an emulator's socket; empty: DefaultDevice. The PIN crosses the bus encrypted.
func Seal(path string, pcrs []int, serial, pin string) (_ *Sealed, err error) {
	if err := checkSerial(serial); err != nil {
		return nil, &Error{Damaged, err}
	}
	if len(pcrs) == 0 || slices.ContainsFunc(pcrs, func(n int) bool { return n < 0 || n >= registers }) {
		return nil, &Error{Damaged, fmt.Errorf("PCRs are numbered 0 to %d, and at least one is needed", registers-1)}
	}
	if len(pin) == 0 || len(serial)+1+len(pin) > maxSensitive {
		return nil, &Error{Damaged, fmt.Errorf("a PIN of this length cannot be sealed; at most %d octets can", maxSensitive-1-len(serial))}
	}
	d, err := open(path)
	if err != nil {
		return nil, err
	}
	defer d.close()
	s := &Sealed{Serial: serial, Time: time.Now().UTC().Truncate(time.Second)}
	if s.PCRs, err = d.read(pcrs); err != nil {
		return nil, err
	}
	root, err := d.root()
	if err != nil {
		return nil, err
	}
	defer root.flush()
	policy, err := s.policy()
	if err != nil {
		return nil, failure(seal, err)
	}
	sensitive := []byte(serial + "\x00" + pin)
	defer clear(sensitive)
	made, err := tpm2.Create{
		ParentHandle: tpm2.AuthHandle{
			Handle: root.handle, Name: root.name,
			Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.Salted(root.handle, root.public), tpm2.AESEncryption(128, tpm2.EncryptIn)),
		},
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: sensitive}),
		}},
		InPublic: tpm2.New2B(object(policy)),
	}.Execute(d)
	if err != nil {
		return nil, failure(seal, err)
	}
	s.key, s.public, s.private = root.digest(), made.OutPublic.Bytes(), made.OutPrivate.Buffer
	return s, nil
}

// object is a sealed object that no password opens, only the policy.
func object(policy []byte) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, NoDA: true},
		AuthPolicy:       tpm2.TPM2BDigest{Buffer: policy},
	}
}

// Unseal lends the PIN to use, which must not keep it. path is as in Seal. Its errors are of type *Error.
func (s *Sealed) Unseal(path string, use func(pin []byte) error) error {
	d, err := open(path)
	if err != nil {
		return err
	}
	defer d.close()
	root, err := d.root()
	if err != nil {
		return err
	}
	defer root.flush()
	// Who stands between us and the TPM could pass off a key of theirs, and read the salt of the session: the key is compared
	// with the one that was there at the sealing.
	if !bytes.Equal(root.digest(), s.key) {
		return &Error{Foreign, errors.New("sealed by another TPM, or by this one before it was cleared; seal the PIN again")}
	}
	loaded, err := tpm2.Load{
		ParentHandle: tpm2.AuthHandle{Handle: root.handle, Name: root.name, Auth: tpm2.PasswordAuth(nil)},
		InPrivate:    tpm2.TPM2BPrivate{Buffer: s.private},
		InPublic:     tpm2.BytesAs2B[tpm2.TPMTPublic](s.public),
	}.Execute(d)
	if err != nil {
		return s.refusal(load, err, nil)
	}
	defer d.flush(loaded.ObjectHandle)
	session, done, err := tpm2.PolicySession(d, tpm2.TPMAlgSHA256, 16,
		tpm2.Salted(root.handle, root.public), tpm2.AESEncryption(128, tpm2.EncryptOut))
	if err != nil {
		return failure(start, err)
	}
	defer func() { _ = done() }()
	if _, err := (tpm2.PolicyPCR{PolicySession: session.Handle(), Pcrs: selection(s.Registers())}).Execute(d); err != nil {
		return failure(start, err)
	}
	out, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: loaded.ObjectHandle, Name: loaded.Name, Auth: session}}.Execute(d)
	if err != nil {
		now, _ := d.read(s.Registers()) // only to say more
		return s.refusal(unseal, err, now)
	}
	defer clear(out.OutData.Buffer)
	serial, pin, ok := bytes.Cut(out.OutData.Buffer, []byte{0})
	if !ok || string(serial) != s.Serial {
		return &Error{Damaged, errors.New("sealed PIN: what was sealed is for another token than the file says")}
	}
	return use(pin)
}

// refusal says why a sealed object cannot be had.
func (s *Sealed) refusal(op string, err error, now map[int]Digest) *Error {
	switch {
	case errors.Is(err, tpm2.TPMRCIntegrity), op == load && (errors.Is(err, tpm2.TPMRCSize) || errors.Is(err, tpm2.TPMRCValue) ||
		errors.Is(err, tpm2.TPMRCInsufficient) || errors.Is(err, tpm2.TPMRCAttributes) || errors.Is(err, tpm2.TPMRCType) ||
		errors.Is(err, tpm2.TPMRCHash) || errors.Is(err, tpm2.TPMRCSelector) || errors.Is(err, tpm2.TPMRCReservedBits) ||
		errors.Is(err, tpm2.TPMRCScheme) || errors.Is(err, tpm2.TPMRCKDF) || errors.Is(err, tpm2.TPMRCSymmetric)):
		return &Error{Damaged, fmt.Errorf("sealed PIN: the file was altered: %w", err)}
	case errors.Is(err, tpm2.TPMRCPolicyFail), errors.Is(err, tpm2.TPMRCPCRChanged):
		var changed []string
		for _, n := range s.Registers() {
			if value, ok := now[n]; ok && value != s.PCRs[n] {
				changed = append(changed, fmt.Sprint(n))
			}
		}
		text := "the PCRs are those of the sealing, yet the TPM refuses: the file was altered"
		kind := Damaged
		if len(changed) > 0 || now == nil || errors.Is(err, tpm2.TPMRCPCRChanged) {
			kind = Changed
			text = fmt.Sprintf("PCR %s changed since the PIN was sealed on %s; if that is as it should be, seal it again",
				strings.Join(changed, ", "), s.Time.Format(time.DateOnly))
		}
		return &Error{kind, fmt.Errorf("%s: %w", text, err)}
	}
	return failure(op, err)
}

// policy is the digest of PolicyPCR over the registers (part 3, 23.7).
func (s *Sealed) policy() ([]byte, error) {
	h := sha256.New()
	for _, n := range s.Registers() {
		value := s.PCRs[n]
		h.Write(value[:])
	}
	calculator, err := tpm2.NewPolicyCalculator(tpm2.TPMAlgSHA256)
	if err != nil {
		return nil, err
	}
	err = tpm2.PolicyPCR{PcrDigest: tpm2.TPM2BDigest{Buffer: h.Sum(nil)}, Pcrs: selection(s.Registers())}.Update(calculator)
	return calculator.Hash().Digest, err
}

func selection(pcrs []int) tpm2.TPMLPCRSelection {
	numbers := make([]uint, len(pcrs))
	for i, n := range pcrs {
		numbers[i] = uint(n)
	}
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{
		Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(numbers...),
	}}}
}

// read gives the values of registers. A TPM answers for as many at once as it likes.
func (d *device) read(pcrs []int) (map[int]Digest, error) {
	values := map[int]Digest{}
	for _, n := range pcrs {
		got, err := tpm2.PCRRead{PCRSelectionIn: selection([]int{n})}.Execute(d)
		if err != nil {
			return nil, failure(readPCRs, err)
		}
		if len(got.PCRValues.Digests) != 1 || len(got.PCRValues.Digests[0].Buffer) != digestSize {
			return nil, &Error{Absent, errors.New("the TPM keeps no PCRs of SHA-256; the firmware can switch that bank on")}
		}
		values[n] = Digest(got.PCRValues.Digests[0].Buffer)
	}
	return values, nil
}

// rootKey is the storage root key, made anew each time from the standard template of an ECC key: it is always the same one
// until the TPM is cleared, and there is nothing to keep.
type rootKey struct {
	d      *device
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
	public tpm2.TPMTPublic
}

func (d *device) root() (*rootKey, error) {
	made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(d)
	if err != nil {
		return nil, failure(makeKey, err)
	}
	public, err := made.OutPublic.Contents()
	if err != nil {
		d.flush(made.ObjectHandle)
		return nil, failure(makeKey, err)
	}
	return &rootKey{d, made.ObjectHandle, made.Name, *public}, nil
}

// digest is worked out here, from the public area that sessions are salted to.
func (r *rootKey) digest() []byte {
	sum := sha256.Sum256(tpm2.Marshal(r.public))
	return sum[:]
}

func (r *rootKey) flush() { r.d.flush(r.handle) }

func (d *device) flush(h tpm2.TPMHandle) { _, _ = tpm2.FlushContext{FlushHandle: h}.Execute(d) }
