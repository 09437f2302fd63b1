package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/signer"
)

// Rotation changes the states of key versions, for the security officer's tool. While it is open the file is held against
// other changes; a daemon reads on.
type Rotation struct {
	// PIN gives the PIN of a token, and a function that wipes it; nil: the configuration's.
	PIN func(t hsm.TokenConfig) (hsm.PINSource, func(), error)
	// Now is the time that certificates are judged by; zero: the present.
	Now time.Time
	// Warn is told what an officer should know and what stops nothing.
	Warn func(format string, args ...any)

	config *Config
	states keyStates
	keys   []keyConfig
	lock   *os.File
	log    *slog.Logger

	// look finds a version on its tokens; commit puts the states in force, and on the disk.
	look   func(ctx context.Context, k *keyConfig) (*gost.PublicKey, *gost.Certificate, error)
	commit func(ctx context.Context) error
}

// Rotate reads configuration and states. The errors are those of [Load], or say that no file of states is configured, or that
// another change is under way.
func Rotate(file string, log *slog.Logger) (_ *Rotation, err error) {
	c, err := Load(file)
	if err != nil {
		return nil, err
	}
	if c.states == "" {
		return nil, &ConfigError{File: file, Findings: []Finding{{Path: "key_states",
			Message: "is missing: it names the file in which the states of key versions are kept"}}}
	}
	return c.rotate(log)
}

// rotate takes hold of the file of states.
func (c *Config) rotate(log *slog.Logger) (_ *Rotation, err error) {
	r := &Rotation{config: c, log: log, Warn: func(string, ...any) {}}
	r.look, r.commit = r.onTokens, func(context.Context) error { return r.states.write(c.states) }
	// To hold a lock it takes no right to write: root and the service's user may take turns.
	if r.lock, err = os.OpenFile(c.states+".lock", os.O_RDONLY|os.O_CREATE, 0o644); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if err = unix.Flock(int(r.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("%s is being changed by somebody else: %w", c.states, err)
	}
	if r.states, err = c.readStates(); err != nil {
		return nil, err
	}
	r.keys, err = c.withStates(r.states)
	return r, err
}

// Close lets go of the file.
func (r *Rotation) Close() { _ = r.lock.Close() }

// Staging says where a new version is.
type Staging struct {
	Tokens      []string // configured names; none: those of the primary version
	ID          string   // CKA_ID; empty: the one that belongs to the name
	Certificate string   // file; empty: the one on the token
	Chain       []string // files, the issuer's first
}

// Stage proves a version on its tokens and makes it known to the daemon; it does not sign yet. A retired version can be staged
// again.
func (r *Rotation) Stage(ctx context.Context, name signer.KeyName, s Staging) error {
	if name.Version == 0 {
		return errors.New("which version? such as " + name.WithVersion(2).String())
	}
	primary := r.primary(name)
	if primary == nil {
		return fmt.Errorf("%s is not configured; a first version belongs into the configuration", name.WithVersion(0))
	}
	if k := r.find(name); k != nil && !k.state.off() {
		return fmt.Errorf("%s is %s already", name, k.state)
	} else if k != nil && k.primary {
		return fmt.Errorf("%s is the primary version: activate it, or another one", name)
	}
	_, v := r.entry(name, primary)
	if r.configured(name) {
		if s.Tokens != nil || s.ID != "" || s.Certificate != "" || s.Chain != nil {
			return fmt.Errorf("the configuration says where %s is", name)
		}
	} else {
		v.Certificate, v.Chain, v.Replicas = s.Certificate, s.Chain, nil
		if s.ID == "" {
			s.ID = name.ID()
		}
		if s.Tokens == nil {
			for _, ref := range primary.replicas {
				s.Tokens = append(s.Tokens, ref.Token)
			}
		}
		for _, token := range s.Tokens {
			v.Replicas = append(v.Replicas, statedReplica{token, s.ID})
		}
		if v.Chain == nil && len(primary.chain) > 0 {
			r.Warn("version %d sends a chain of certificates along; %s will send none without --chain", primary.name.Version, name)
		}
	}
	r.set(v, staged)
	k, err := r.proven(ctx, name)
	if err != nil {
		return err
	}
	if k.certificate.NotBefore.After(r.now()) {
		r.Warn("the certificate begins at %s; before that the version cannot be activated",
			k.certificate.NotBefore.UTC().Format(time.RFC3339))
	}
	return r.commit(ctx)
}

// Activate makes a staged version the primary one, after it was proved once more. The one that was primary goes on signing for
// those who name it. An active version can be made primary again.
func (r *Rotation) Activate(ctx context.Context, name signer.KeyName) error {
	k := r.find(name)
	switch {
	case name.Version == 0 || k == nil:
		return fmt.Errorf("there is no version %s; stage it first", name)
	case k.state.off() && !k.primary:
		return fmt.Errorf("%s is %s; stage it again first", name, k.state)
	case k.primary && k.state == active:
		return fmt.Errorf("%s is the primary version already", name)
	}
	stated, v := r.entry(name, r.primary(name))
	r.set(v, active)
	stated.Primary = name.Version
	proven, err := r.proven(ctx, name)
	if err != nil {
		return err
	}
	if proven.certificate.NotBefore.After(r.now()) {
		return fmt.Errorf("the certificate of %s begins at %s", name, proven.certificate.NotBefore.UTC().Format(time.RFC3339))
	}
	return r.commit(ctx)
}

// Retire ends the signing of a version that is not the primary one. The token is not needed.
func (r *Rotation) Retire(ctx context.Context, name signer.KeyName) error {
	k := r.find(name)
	switch {
	case name.Version == 0 || k == nil:
		return fmt.Errorf("there is no version %s", name)
	case k.state == retired:
		return fmt.Errorf("%s is retired already", name)
	case k.primary:
		return fmt.Errorf("%s is the primary version; activate another one first", name)
	}
	return r.end(ctx, name, retired)
}

// Disable ends the signing of a version at once, be it the primary one. The token is not needed.
func (r *Rotation) Disable(ctx context.Context, name signer.KeyName) error {
	k := r.find(name)
	switch {
	case name.Version == 0 || k == nil:
		return fmt.Errorf("there is no version %s", name)
	case k.state == disabled:
		return fmt.Errorf("%s is disabled already", name)
	}
	return r.end(ctx, name, disabled)
}

func (r *Rotation) end(ctx context.Context, name signer.KeyName, state keyState) error {
	_, v := r.entry(name, r.primary(name))
	r.set(v, state)
	if _, err := r.config.withStates(r.states); err != nil {
		return err
	}
	return r.commit(ctx)
}

// VersionState is a line of a listing.
type VersionState struct {
	Name    string
	Primary bool
	State   string
	Tokens  []string
}

// Versions lists all versions of all keys with their states.
func (r *Rotation) Versions() (list []VersionState) {
	for _, k := range r.keys {
		v := VersionState{Name: k.name.String(), Primary: k.primary, State: string(k.state)}
		for _, ref := range k.replicas {
			v.Tokens = append(v.Tokens, ref.Token)
		}
		list = append(list, v)
	}
	return list
}

func (r *Rotation) now() time.Time {
	if r.Now.IsZero() {
		return time.Now()
	}
	return r.Now
}

func (r *Rotation) set(v *statedVersion, state keyState) {
	v.State, v.Since = state, r.now().UTC().Format(time.RFC3339)
}

func (r *Rotation) find(name signer.KeyName) *keyConfig {
	return findKey(r.keys, func(k keyConfig) bool { return k.name == name })
}

func (r *Rotation) primary(name signer.KeyName) *keyConfig {
	return findKey(r.keys, func(k keyConfig) bool { return k.primary && k.name.WithVersion(0) == name.WithVersion(0) })
}

func (r *Rotation) configured(name signer.KeyName) bool {
	return findKey(r.config.keys, func(k keyConfig) bool { return k.name == name }) != nil
}

func findKey(keys []keyConfig, fits func(keyConfig) bool) *keyConfig {
	if i := slices.IndexFunc(keys, fits); i >= 0 {
		return &keys[i]
	}
	return nil
}

// entry is the version's place in the states, made when it is missing.
func (r *Rotation) entry(name signer.KeyName, primary *keyConfig) (*statedKey, *statedVersion) {
	k := r.states.key(name.WithVersion(0).String())
	if k == nil {
		k = &statedKey{Name: name.WithVersion(0).String(), name: name.WithVersion(0), Primary: primary.name.Version}
		r.states.Keys = append(r.states.Keys, k)
	}
	v := k.version(name.Version)
	if v == nil {
		v = &statedVersion{Version: name.Version}
		k.Versions = append(k.Versions, v)
	}
	return k, v
}

// proven checks the changed states as a whole, and the version on each of its tokens: the key signs, all tokens hold the same
// one, its certificate is of that key, for signing and not over.
func (r *Rotation) proven(ctx context.Context, name signer.KeyName) (*keyConfig, error) {
	keys, err := r.config.withStates(r.states)
	if err != nil {
		return nil, err
	}
	k := findKey(keys, func(k keyConfig) bool { return k.name == name })
	public, stored, err := r.look(ctx, k)
	if err != nil {
		return nil, err
	}
	if k.certificate == nil {
		k.certificate = stored
	}
	c := k.certificate
	switch {
	case c == nil:
		return nil, fmt.Errorf("%s has no certificate: `epov csr`, then `epov cert import`", name)
	case c.PublicKey == nil:
		return nil, fmt.Errorf("the key of the certificate of %s cannot be used: %w", name, c.PublicKeyErr)
	case !c.PublicKey.Equal(public):
		return nil, fmt.Errorf("the certificate of %s is of another key", name)
	case len(k.chain) > 0 && !c.Issuer.Equal(k.chain[0].Subject):
		return nil, fmt.Errorf("the certificate of %s was issued by %s; the chain begins with %s", name, c.Issuer, k.chain[0].Subject)
	case r.now().After(c.NotAfter):
		return nil, fmt.Errorf("the certificate of %s was valid until %s", name, c.NotAfter.UTC().Format(time.RFC3339))
	case c.HasKeyUsage && c.KeyUsage&(gost.UsageDigitalSignature|gost.UsageContentCommitment) == 0:
		return nil, fmt.Errorf("the certificate of %s is not for signing: its key usage is %s", name, c.KeyUsage)
	}
	return k, nil
}

// onTokens opens each token that holds the version.
func (r *Rotation) onTokens(ctx context.Context, k *keyConfig) (public *gost.PublicKey, certificate *gost.Certificate, err error) {
	for _, ref := range k.replicas {
		found, stored, err := r.onToken(ctx, *r.config.token(ref.Token), ref.ID)
		if err != nil {
			return nil, nil, err
		}
		if public != nil && !public.Equal(found) {
			return nil, nil, fmt.Errorf("the tokens of %s hold different keys", k.name)
		}
		public = found
		if certificate == nil {
			certificate = stored
		}
	}
	return public, certificate, nil
}

// onToken opens a token, proves the key and closes it.
func (r *Rotation) onToken(ctx context.Context, t hsm.TokenConfig, id string) (_ *gost.PublicKey, _ *gost.Certificate, err error) {
	if err := hsm.CheckStateDir(t.StateDir); err != nil {
		return nil, nil, err
	}
	if r.PIN != nil {
		source, done, err := r.PIN(t)
		if err != nil {
			return nil, nil, err
		}
		defer done()
		if t.KeyPIN == t.PIN {
			t.KeyPIN = source
		}
		t.PIN = source
	}
	token, err := hsm.Open(ctx, t, r.log)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if e := token.Close(closing); err == nil {
			err = e
		}
	}()
	key, err := token.Key(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	return key.Public(), key.Certificate(), nil
}
