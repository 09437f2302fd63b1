package hsm

import (
	"context"
	"crypto"
	"io"
	"log/slog"

	"github.com/epov-signer/epov/gost"
)

// TokenInfo describes a token.
type TokenInfo struct {
	Slot                                uint
	Label, Serial, Manufacturer, Model  string
	Initialised, UserPINSet             bool
	PINCountLow, PINFinalTry, PINLocked bool
	GOST256, GOST512, ECDSA, RSA        bool // can sign with
}

// ListTokens lists the tokens a module shows, uninitialised ones too, without logging in.
func ListTokens(module string) ([]TokenInfo, error) { panic("skeleton") }

// InitOptions says how to initialise a token.
type InitOptions struct {
	Label          string
	Serial         string // which token; with neither Serial nor Slot: the only uninitialised one
	Slot           *uint
	SOPIN, UserPIN PIN
	Erase          bool // an initialised token is refused without it: its keys are lost
}

// InitToken initialises a token and sets its user PIN.
func InitToken(module string, o InitOptions) (TokenInfo, error) { panic("skeleton") }

// Token is an open, logged-in token. Safe for concurrent use.
type Token struct{}

// Open loads the module, finds the token, checks its PIN flags and the record of refused PINs, and logs in once.
func Open(ctx context.Context, cfg TokenConfig, log *slog.Logger) (*Token, error) { panic("skeleton") }

// Close waits for signatures under way, as long as ctx allows, and lets go of the token. Idempotent.
func (t *Token) Close(ctx context.Context) error { panic("skeleton") }

// Name is the configured name; Info the description at the time of Open.
func (t *Token) Name() string    { panic("skeleton") }
func (t *Token) Info() TokenInfo { panic("skeleton") }

// Key finds a key by the text of its CKA_ID and proves it by a signature over random octets.
func (t *Token) Key(ctx context.Context, id string) (*Key, error) { panic("skeleton") }

// Key is a GOST private key on a token. Safe for concurrent use.
type Key struct{}

func (k *Key) ID() string                     { panic("skeleton") }
func (k *Key) Public() *gost.PublicKey        { panic("skeleton") }
func (k *Key) Certificate() *gost.Certificate { panic("skeleton") } // nil when the token has none
func (k *Key) Err() error                     { panic("skeleton") } // why the key is out of service; nil when in service

// SignDigest signs a digest of exactly Public().Algorithm.Digest.Size octets in wire order and returns s ‖ r, checked.
func (k *Key) SignDigest(ctx context.Context, digest []byte) ([]byte, error) { panic("skeleton") }

// KeyInfo describes a key pair on a token.
type KeyInfo struct {
	ID          string
	Type        string            // "gost256", "gost512", "ecdsa", "rsa" or the hexadecimal CKK number
	Public      *gost.PublicKey   // nil when it cannot be read
	Certificate *gost.Certificate // nil when there is none or it cannot be read
	HasCert     bool
	Problem     string // why the key could not serve; empty when nothing is known against it
}

// Keys lists the private keys of the token, ordered by id.
func (t *Token) Keys(ctx context.Context) ([]KeyInfo, error) { panic("skeleton") }

// GenerateKey makes a key pair that cannot leave the token; an existing id is refused.
func (t *Token) GenerateKey(ctx context.Context, id string, a *gost.Algorithm, p *gost.ParamSet) (*gost.PublicKey, error) {
	panic("skeleton")
}

// ImportCertificate stores a DER certificate beside the key of that id; its public key must be the key's.
func (t *Token) ImportCertificate(ctx context.Context, id string, der []byte, replace bool) error {
	panic("skeleton")
}

// OpenTLSKey opens an RSA or ECDSA key through crypto11. It must come before Open of any token of the same module in this
// process; the closer may be called in any order.
func OpenTLSKey(ctx context.Context, cfg TokenConfig, id string, log *slog.Logger) (crypto.Signer, io.Closer, error) {
	panic("skeleton")
}

// GenerateTLSKey makes an "ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072" or "rsa-4096" key pair.
func GenerateTLSKey(ctx context.Context, cfg TokenConfig, id, kind string, log *slog.Logger) (crypto.PublicKey, error) {
	panic("skeleton")
}
