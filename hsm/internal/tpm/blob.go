// Package tpm seals a PIN to this machine: a TPM 2.0 gives it back only while chosen platform configuration registers (PCRs)
// hold what they held when it was sealed. References are to the TPM 2.0 Library, parts 1 to 3, version 1.59.
package tpm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// MaxFile bounds the file of a sealed PIN, in octets.
const MaxFile = 8 << 10

const (
	fileFormat  = "epov sealed PIN"
	fileVersion = 1
	bank        = "sha256"
	digestSize  = 32 // of the bank, and of the storage root key's name
	registers   = 24 // those that every TPM of a PC has
	maxObject   = 1 << 10
	maxSerial   = 64
)

// Sealed is a sealed PIN as its file has it. Nothing but the TPM that made it can open it; that TPM does so for everybody who
// has the file and may use the TPM, while the PCRs are as they were.
type Sealed struct {
	Serial string         // of the token that the PIN is for
	Time   time.Time      // when it was sealed
	PCRs   map[int]Digest // of the bank of SHA-256, as they were then

	key             []byte // digest of the storage root key's public area: tells this TPM from others
	public, private []byte // TPM2B_PUBLIC and TPM2B_PRIVATE, without their lengths
}

// Digest is the value of a register.
type Digest [digestSize]byte

// file is the form on disk: JSON, octets in base64.
type file struct {
	Format  string         `json:"format"`
	Version int            `json:"version"`
	Serial  string         `json:"serial"`
	Time    time.Time      `json:"time"`
	Bank    string         `json:"bank"`
	PCRs    map[int][]byte `json:"pcrs"`
	Key     []byte         `json:"key"`
	Public  []byte         `json:"public"`
	Private []byte         `json:"private"`
}

// Parse reads what Marshal wrote.
func Parse(data []byte) (*Sealed, error) {
	fail := func(format string, args ...any) (*Sealed, error) {
		return nil, &Error{Damaged, fmt.Errorf("sealed PIN: "+format, args...)}
	}
	if len(data) > MaxFile {
		return fail("longer than %d octets", MaxFile)
	}
	var f file
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if decoder.Decode(&f) != nil { // its errors quote, and this may be a file with a PIN
		return fail("the file is not one of these")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fail("something follows it")
	}
	switch {
	case f.Format != fileFormat:
		return fail("the file has another format")
	case f.Version != fileVersion:
		return fail("version %d; this program knows %d", f.Version, fileVersion)
	case f.Bank != bank:
		return fail("PCR bank %q; this program knows %s", f.Bank, bank)
	case checkSerial(f.Serial) != nil:
		return fail("%w", checkSerial(f.Serial))
	case len(f.PCRs) == 0 || len(f.PCRs) > registers:
		return fail("%d PCRs", len(f.PCRs))
	case len(f.Key) != digestSize:
		return fail("the digest of the storage key has %d octets", len(f.Key))
	case len(f.Public) == 0 || len(f.Public) > maxObject || len(f.Private) == 0 || len(f.Private) > maxObject:
		return fail("an object of %d and %d octets", len(f.Public), len(f.Private))
	}
	s := &Sealed{Serial: f.Serial, Time: f.Time, PCRs: map[int]Digest{}, key: f.Key, public: f.Public, private: f.Private}
	for n, value := range f.PCRs {
		if n < 0 || n >= registers || len(value) != digestSize {
			return fail("PCR %d with %d octets", n, len(value))
		}
		s.PCRs[n] = Digest(value)
	}
	return s, nil
}

// Marshal writes the sealed PIN for a file.
func (s *Sealed) Marshal() ([]byte, error) {
	f := file{
		Format: fileFormat, Version: fileVersion, Serial: s.Serial, Time: s.Time, Bank: bank, PCRs: map[int][]byte{},
		Key: s.key, Public: s.public, Private: s.private,
	}
	for n, value := range s.PCRs {
		f.PCRs[n] = value[:]
	}
	data, err := json.MarshalIndent(f, "", "  ")
	return append(data, '\n'), err
}

// Registers are the numbers of the PCRs, ascending.
func (s *Sealed) Registers() []int { return slices.Sorted(maps.Keys(s.PCRs)) }

// Unmeasured are those of the PCRs that still held what they hold from the start of the machine, all zeros or all ones: nothing
// was measured into them, and they tell nothing apart.
func (s *Sealed) Unmeasured() (numbers []int) {
	for _, n := range s.Registers() {
		value := s.PCRs[n]
		if first := value[0]; (first == 0 || first == 0xff) && value == Digest(bytes.Repeat([]byte{first}, digestSize)) {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

func checkSerial(serial string) error {
	if serial == "" || len(serial) > maxSerial || bytes.IndexByte([]byte(serial), 0) >= 0 {
		return fmt.Errorf("a token's serial number has 1 to %d octets", maxSerial)
	}
	return nil
}
