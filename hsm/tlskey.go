package hsm

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// OpenTLSKey opens an RSA or ECDSA key, such as the daemon's own for TLS, through crypto11.
//
// The signer is safe for concurrent use. When the token's sessions or its login are lost, or it was away and is back, the
// signature that meets this has it opened anew and is tried once more; while that cannot be done signatures fail at once
// with an *Error that says why. It ends with the closer, which may be called at any time.
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
	key, err := c.find(id)
	if err != nil {
		kind, err := c.explain(err)
		return nil, nil, &Error{Kind: kind, Token: c.cfg.Name, Op: op, Err: errors.Join(err, c.Close())}
	}
	k := &tlsKey{token: c, id: id, log: log.With("token", c.cfg.Name, "key", id), public: key.Public(), key: key, gap: firstPause}
	return k, k, nil
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
			e.Token, e.Op = c.cfg.Name, op
			return nil, e
		}
		return nil, &Error{Kind: Internal, Token: c.cfg.Name, Op: op, Err: err}
	}
	return public, nil
}

// crypto11Token is a crypto11 context on a token that our own binding has logged in to: the login belongs to the process and
// the token, and so the PIN and its rules stay out of crypto11. Its end waits for the module's other users.
type crypto11Token struct {
	*crypto11.Context // only reopen changes it
	cfg               TokenConfig
	path, serial      string
	vendor            *Vendor

	release func() error // of crypto11's hold on the module
	module  host         // our own beside it
	anchor  p11.Session  // keeps the login
	once    sync.Once
	ended   error
}

// Close is called when nothing else uses c any more.
func (c *crypto11Token) Close() error {
	c.once.Do(func() {
		if c.module != nil {
			c.closeAnchor()
			c.ended = c.module.Close(context.Background())
		}
		if c.release != nil {
			c.ended = errors.Join(c.ended, c.release())
		}
	})
	return c.ended
}

// explain makes kind and cause of an error of crypto11's, of the module's or of this package's.
func (c *crypto11Token) explain(err error) (Kind, error) {
	err = fromCrypto11(err)
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind, e.Err
	}
	return c.vendor.classify(err).kind, err
}

// fromCrypto11 gives return codes the type that they have in this package.
func fromCrypto11(err error) error {
	if code, ok := errors.AsType[pkcs11.Error](err); ok {
		return p11.Error(code)
	}
	return err
}

// find finds the one key pair of that id.
func (c *crypto11Token) find(id string) (crypto.Signer, error) {
	keys, err := c.FindKeyPairs([]byte(id), nil)
	switch {
	case err != nil && strings.Contains(err.Error(), "unsupported key type"): // crypto11 has no type for it
		return nil, &Error{Kind: KeyUnusable, Err: errors.New("the key of this id is neither RSA nor ECDSA, and TLS needs one of these")}
	case err != nil:
		return nil, err
	case len(keys) == 0:
		return nil, &Error{Kind: KeyNotFound, Err: errors.New("no RSA or ECDSA key pair has this id")}
	case len(keys) > 1:
		return nil, &Error{Kind: Ambiguous, Err: errors.New("several key pairs have this id")}
	}
	return keys[0], nil
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
	c := &crypto11Token{cfg: cfg}
	fail := func(kind Kind, err error) (*crypto11Token, error) {
		if e, ok := errors.AsType[*Error](err); ok {
			kind, err = e.Kind, e.Err
		}
		return nil, &Error{Kind: kind, Token: c.cfg.Name, Op: op, Err: errors.Join(err, c.Close())}
	}
	cfg, err := cfg.checked()
	if err != nil {
		return fail(Config, err)
	}
	c.cfg = cfg
	if err := checkID(id); err != nil {
		return fail(Invalid, err)
	}
	if c.path, err = p11.Path(cfg.Module); err != nil {
		return fail(Config, err)
	}
	module, done, err := p11.Load(c.path)
	if err != nil {
		return fail(Config, err)
	}
	found, err := findToken(module, cfg.Label, cfg.Serial)
	if err = errors.Join(err, done()); err != nil {
		return fail(classify(err).kind, err)
	}
	c.serial = found.Serial
	if c.vendor = cfg.Vendor; c.vendor == nil {
		c.vendor = vendorOf(found.raw)
	}
	release, err := p11.Foreign(c.path, func() (func() error, error) {
		if err := c.configure(); err != nil {
			return nil, err
		}
		return func() error { return c.Context.Close() }, nil // the one that is there in the end
	})
	if errors.Is(err, p11.ErrInUse) {
		return fail(Config, errors.New("a token of the same module is open already; the TLS key must be opened first"))
	}
	if err != nil {
		return fail(c.explain(err))
	}
	c.release = release
	if c.module, err = loadInProcess(ctx, c.path, hostOptions{}); err != nil {
		return fail(classify(err).kind, err)
	}
	if err := c.logIn(ctx); err != nil {
		return fail(classify(err).kind, err)
	}
	log.Info("token opened for TLS", "token", cfg.Name, "serial", found.Serial, "key", id)
	return c, nil
}

// configure makes a context of crypto11 on the token, wherever it is plugged in.
func (c *crypto11Token) configure() error {
	fresh, err := crypto11.Configure(&crypto11.Config{
		Path: c.path, TokenSerial: c.serial, LoginNotSupported: true, MaxSessions: max(c.cfg.Sessions, 1) + 1,
	})
	if err == nil {
		c.Context = fresh
	}
	return fromCrypto11(err)
}

// closeAnchor closes the anchor, once; it may have died with the token.
func (c *crypto11Token) closeAnchor() {
	_ = c.module.CloseSession(c.anchor)
	c.anchor = 0 // no handle, PKCS#11 2.40 section 3.4
}

// logIn opens the anchor, the session that keeps the login, and logs in under the rules of the PIN.
func (c *crypto11Token) logIn(ctx context.Context) error {
	found, err := findToken(c.module, "", c.serial)
	if err != nil {
		return err
	}
	if c.anchor, err = c.module.OpenSession(found.Slot, false); err != nil {
		return err
	}
	return c.module.LogIn(ctx, c.anchor, found.Slot, c.cfg.login(c.serial))
}
