package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/mod/sumdb/note"

	"github.com/epov-signer/epov/gost"
)

// MaxCheckpointBytes bounds a checkpoint.
const MaxCheckpointBytes = 16 << 10

// Checkpoint is what a log says about all of its records at one moment.
type Checkpoint struct {
	Origin string // which log
	Size   uint64 // number of records
	Root   [32]byte
}

// parseCheckpoint reads the text of a signed note (c2sp.org/tlog-checkpoint): origin, size and root, a line each. Extension
// lines may follow.
func parseCheckpoint(text string) (*Checkpoint, error) {
	malformed := errors.New("audit: the checkpoint is not of the form of c2sp.org/tlog-checkpoint")
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 || lines[0] == "" {
		return nil, malformed
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || lines[1] != strconv.FormatUint(size, 10) {
		return nil, malformed
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != sha256.Size {
		return nil, malformed
	}
	return &Checkpoint{Origin: lines[0], Size: size, Root: [32]byte(root)}, nil
}

// ReadCheckpoint reads a checkpoint without looking at its signatures.
func ReadCheckpoint(data []byte) (*Checkpoint, error) {
	text, _, found := bytes.Cut(data, []byte("\n\n"))
	if len(data) > MaxCheckpointBytes || !found {
		return nil, errors.New("audit: not a checkpoint")
	}
	return parseCheckpoint(string(text) + "\n")
}

// Key checks the signatures of checkpoints. Safe for concurrent use.
type Key struct {
	name   string          // origin of the one log it is for; empty: whichever log it has signed for
	public *gost.PublicKey // nil: named is an Ed25519 key
	named  note.Verifier
}

// ParseKey reads the key of a log: a verifier key of one line as [VerifierKey] writes it (c2sp.org/signed-note; Ed25519 keys
// too), or a certificate or public key of GOST R 34.10-2012 in PEM or DER, which says nothing about the log it is for.
func ParseKey(data []byte) (*Key, error) {
	if len(data) > MaxCheckpointBytes {
		return nil, errors.New("audit: too large for the key of a log")
	}
	if line := strings.TrimSpace(string(data)); !strings.ContainsAny(line, "\n\x00") && strings.Count(line, "+") >= 2 {
		return parseVerifierKey(line)
	}
	der := data
	if block, _ := pem.Decode(data); block != nil {
		der = block.Bytes
	}
	if public, err := gost.ParsePublicKey(der); err == nil {
		return &Key{public: public}, nil
	}
	list, err := gost.ParseCertificates(data)
	if err != nil || len(list) != 1 || list[0].PublicKey == nil {
		return nil, errors.New("audit: neither a verifier key of one line, nor one certificate or public key of GOST R 34.10-2012")
	}
	return &Key{public: list[0].PublicKey}, nil
}

// Public is the GOST key; nil when the key is an Ed25519 key.
func (k *Key) Public() *gost.PublicKey { return k.public }

// signatureType is the type of signatures of GOST R 34.10-2012 in signed notes: 0xff, for types that have no number, and a
// name nobody else uses.
const signatureType = "\xffgithub.com/epov-signer/epov/gost3410-2012\n"

// keyID is the key ID of c2sp.org/signed-note.
func keyID(name string, typed []byte) uint32 {
	h := sha256.New()
	h.Write([]byte(name + "\n"))
	h.Write(typed)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

func typed(public *gost.PublicKey) []byte {
	return append([]byte(signatureType), public.SubjectPublicKeyInfo()...)
}

// VerifierKey writes the verifier key of a log whose checkpoints the key signs: name+id+base64(type ‖ SubjectPublicKeyInfo).
func VerifierKey(origin string, public *gost.PublicKey) string {
	t := typed(public)
	return fmt.Sprintf("%s+%08x+%s", origin, keyID(origin, t), base64.StdEncoding.EncodeToString(t))
}

func parseVerifierKey(line string) (*Key, error) {
	name, rest, _ := strings.Cut(line, "+")
	id, encoded, _ := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || !ValidOrigin(name) {
		return nil, errors.New("audit: the verifier key is not of the form name+id+base64")
	}
	der, ours := bytes.CutPrefix(key, []byte(signatureType))
	if !ours {
		v, err := note.NewVerifier(line)
		if err != nil {
			return nil, errors.New("audit: the verifier key is neither of Ed25519 nor of GOST R 34.10-2012")
		}
		return &Key{name: name, named: v}, nil
	}
	public, err := gost.ParsePublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("audit: the verifier key: %w", err)
	}
	if id != fmt.Sprintf("%08x", keyID(name, key)) {
		return nil, errors.New("audit: the verifier key's ID is not of its name and key")
	}
	return &Key{name: name, public: public}, nil
}

// ValidOrigin reports whether a log may be called so: what signed notes allow, and not longer than 255 octets. Origins are
// commonly URLs without a scheme, such as "epov.example.ru/audit/node-1".
func ValidOrigin(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || r == '+' || r == unicode.ReplacementChar || r < ' '
	})
}

// Open checks that the key has signed the checkpoint. Signatures of others do not matter.
func (k *Key) Open(data []byte) (*Checkpoint, error) {
	if len(data) > MaxCheckpointBytes {
		return nil, errors.New("audit: the checkpoint is too large")
	}
	n, err := note.Open(data, (*verifiers)(k))
	if err != nil {
		if _, ok := errors.AsType[*note.InvalidSignatureError](err); ok {
			return nil, errors.New("audit: the signature of the checkpoint is wrong")
		}
		if _, ok := errors.AsType[*note.UnverifiedNoteError](err); ok {
			return nil, errors.New("audit: this key has not signed the checkpoint")
		}
		return nil, errors.New("audit: the checkpoint is not a signed note")
	}
	c, err := parseCheckpoint(n.Text)
	if err != nil {
		return nil, err
	}
	// Who signs for several logs, or also as a witness, has not said with another name that this is the log.
	if n.Sigs[0].Name != c.Origin {
		return nil, fmt.Errorf("audit: a checkpoint of %q, signed by %q", c.Origin, n.Sigs[0].Name)
	}
	return c, nil
}

// verifiers gives package note the key under each name that it signs by.
type verifiers Key

func (k *verifiers) Verifier(name string, hash uint32) (note.Verifier, error) {
	if k.name == "" || k.name == name {
		if k.named != nil && k.named.KeyHash() == hash {
			return k.named, nil
		}
		if k.public != nil && keyID(name, typed(k.public)) == hash {
			return &verifier{name, hash, k.public}, nil
		}
	}
	return nil, &note.UnknownVerifierError{Name: name, KeyHash: hash}
}

type verifier struct {
	name   string
	hash   uint32
	public *gost.PublicKey
}

func (v *verifier) Name() string    { return v.name }
func (v *verifier) KeyHash() uint32 { return v.hash }
func (v *verifier) Verify(text, signature []byte) bool {
	return v.public.Verify(digestFor(v.public, text), signature) == nil
}

func digestFor(public *gost.PublicKey, text []byte) []byte {
	h := public.Algorithm.Digest.New()
	h.Write(text)
	return h.Sum(nil)
}

// CheckpointKey signs checkpoints; the private part stays on its token.
type CheckpointKey interface {
	Public() *gost.PublicKey
	// SignDigest gives s ‖ r over a digest in wire order.
	SignDigest(ctx context.Context, digest []byte) ([]byte, error)
}

// NoteSigner makes a CheckpointKey a signer of notes by the name of the log. Each signature may take as long as patience.
func NoteSigner(origin string, key CheckpointKey, patience time.Duration) note.Signer {
	return &noteSigner{origin, keyID(origin, typed(key.Public())), key, patience}
}

type noteSigner struct {
	name     string
	hash     uint32
	key      CheckpointKey
	patience time.Duration
}

func (s *noteSigner) Name() string    { return s.name }
func (s *noteSigner) KeyHash() uint32 { return s.hash }

// VerifierKey is the key that checks what is signed.
func (s *noteSigner) VerifierKey() string { return VerifierKey(s.name, s.key.Public()) }

func (s *noteSigner) Sign(text []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.patience)
	defer cancel()
	return s.key.SignDigest(ctx, digestFor(s.key.Public(), text))
}
