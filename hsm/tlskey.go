package hsm

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/hsm/internal/pin"
)

// OpenTLSKey opens an RSA or ECDSA key, such as the daemon's own for TLS, through crypto11.
//
// crypto11 initialises the module by itself, so within one process OpenTLSKey comes before Open of any token of the same
// module; later it is refused. The closers may be called in any order: the module is finalised when its last user has gone.
// The rules of the PIN are those of Open.
func OpenTLSKey(ctx context.Context, cfg TokenConfig, id string, log *slog.Logger) (crypto.Signer, io.Closer, error) {
	op := fmt.Sprintf("open TLS key %q", id)
	c, err := openCrypto11(ctx, cfg, op, id, log)
	if err != nil {
		return nil, nil, err
	}
	keys, err := c.FindKeyPairs([]byte(id), nil)
	kind := Internal
	switch {
	case err != nil:
	case len(keys) == 0:
		kind, err = KeyNotFound, errors.New("no RSA or ECDSA key pair has this id")
	case len(keys) > 1:
		kind, err = Ambiguous, errors.New("several key pairs have this id")
	default:
		return keys[0], c, nil
	}
	return nil, nil, &Error{Kind: kind, Token: c.name, Op: op, Err: errors.Join(err, c.Close())}
}

// TLSKeyKinds are the kinds that GenerateTLSKey makes.
var TLSKeyKinds = []string{"ecdsa-p256", "ecdsa-p384", "rsa-3072", "rsa-4096"}

// GenerateTLSKey makes a key pair of one of TLSKeyKinds that cannot leave the token, and returns its public key. The rules
// of OpenTLSKey hold.
func GenerateTLSKey(ctx context.Context, cfg TokenConfig, id, kind string, log *slog.Logger) (crypto.PublicKey, error) {
	op := fmt.Sprintf("generate TLS key %q", id)
	c, err := openCrypto11(ctx, cfg, op, id, log)
	if err != nil {
		return nil, err
	}
	public, err := c.generate(id, kind)
	if err = errors.Join(err, c.Close()); err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			e.Token, e.Op = c.name, op
			return nil, e
		}
		return nil, &Error{Kind: Internal, Token: c.name, Op: op, Err: err}
	}
	return public, nil
}

// crypto11Token is a crypto11 context on a token that our own binding has logged in to: the login belongs to the process and
// the token, and so the PIN and its rules stay out of crypto11. Its end waits for the module's other users.
type crypto11Token struct {
	*crypto11.Context
	name  string
	undo  []func() error // in the order of making
	once  sync.Once
	ended error
}

func (c *crypto11Token) Close() error {
	c.once.Do(func() {
		for _, step := range slices.Backward(c.undo) {
			c.ended = errors.Join(c.ended, step())
		}
	})
	return c.ended
}

func (c *crypto11Token) generate(id, kind string) (crypto.PublicKey, error) {
	old, err := c.FindPrivateKeys([]byte(id), nil)
	if err != nil {
		return nil, err
	}
	if len(old) > 0 {
		return nil, &Error{Kind: Exists, Err: errors.New("the token has a private key of this id")}
	}
	public, err := crypto11.NewAttributeSetWithIDAndLabel([]byte(id), []byte(id))
	if err != nil {
		return nil, err
	}
	private := public.Copy()
	for _, set := range []struct {
		kind  uint
		value bool
	}{{pkcs11.CKA_SENSITIVE, true}, {pkcs11.CKA_EXTRACTABLE, false}} {
		if err := private.Set(set.kind, set.value); err != nil {
			return nil, err
		}
	}
	var key crypto11.Signer
	switch kind {
	case "ecdsa-p256":
		key, err = c.GenerateECDSAKeyPairWithAttributes(public, private, elliptic.P256())
	case "ecdsa-p384":
		key, err = c.GenerateECDSAKeyPairWithAttributes(public, private, elliptic.P384())
	case "rsa-3072":
		key, err = c.GenerateRSAKeyPairWithAttributes(public, private, 3072)
	case "rsa-4096":
		key, err = c.GenerateRSAKeyPairWithAttributes(public, private, 4096)
	default:
		err = &Error{Kind: Invalid, Err: fmt.Errorf("unknown kind of key %q", kind)}
	}
	if err != nil {
		return nil, err
	}
	return key.Public(), nil
}

// openCrypto11 looks at the token through our own binding first, which then leaves the module to crypto11, comes back beside
// it and logs in.
func openCrypto11(ctx context.Context, cfg TokenConfig, op, id string, log *slog.Logger) (*crypto11Token, error) {
	c := &crypto11Token{name: cfg.Name}
	fail := func(kind Kind, err error) (*crypto11Token, error) {
		if e, ok := errors.AsType[*Error](err); ok {
			kind, err = e.Kind, e.Err
		}
		return nil, &Error{Kind: kind, Token: c.name, Op: op, Err: errors.Join(err, c.Close())}
	}
	cfg, err := cfg.checked()
	if err != nil {
		return fail(Config, err)
	}
	c.name = cfg.Name
	if err := checkID(id); err != nil {
		return fail(Invalid, err)
	}
	path, err := p11.Path(cfg.Module)
	if err != nil {
		return fail(Config, err)
	}
	module, done, err := p11.Load(path)
	if err != nil {
		return fail(Config, err)
	}
	found, err := findToken(module, cfg.Label, cfg.Serial)
	if err = errors.Join(err, done()); err != nil {
		return fail(classify(err).kind, err)
	}
	release, err := p11.Foreign(path, func() (func() error, error) {
		var err error
		c.Context, err = crypto11.Configure(&crypto11.Config{
			Path: path, TokenSerial: found.Serial, LoginNotSupported: true, MaxSessions: max(cfg.Sessions, 1) + 1,
		})
		if err != nil {
			return nil, err
		}
		return c.Context.Close, nil
	})
	if errors.Is(err, p11.ErrInUse) {
		return fail(Config, errors.New("a token of the same module is open already; the TLS key must be opened first"))
	}
	if code, ok := errors.AsType[pkcs11.Error](err); ok {
		err = p11.Error(code)
	}
	if err != nil {
		return fail(classify(err).kind, err)
	}
	c.undo = append(c.undo, release)
	if err := c.logIn(ctx, path, cfg, found.Serial); err != nil {
		return fail(classify(err).kind, err)
	}
	log.Info("token opened for TLS", "token", cfg.Name, "serial", found.Serial, "key", id)
	return c, nil
}

// logIn logs in under the rules of the PIN. The session that it opens keeps the login.
func (c *crypto11Token) logIn(ctx context.Context, path string, cfg TokenConfig, serial string) error {
	module, err := loadInProcess(ctx, path, hostOptions{})
	if err != nil {
		return err
	}
	c.undo = append(c.undo, func() error { return module.Close(context.WithoutCancel(ctx)) })
	found, err := findToken(module, "", serial)
	if err != nil {
		return err
	}
	anchor, err := module.OpenSession(found.Slot, false)
	if err != nil {
		return err
	}
	c.undo = append(c.undo, func() error { return module.CloseSession(anchor) })
	return module.LogIn(ctx, anchor, found.Slot, pin.Login{
		Serial: serial, StateDir: cfg.StateDir, Source: cfg.PIN, AllowFinalTry: cfg.AllowFinalTry,
	})
}
