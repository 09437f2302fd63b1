package hsm

import (
	"bytes"
	"context"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm/internal/p11"
)

// checkID says whether id can be the CKA_ID of a key: 1 to 128 printable ASCII octets.
func checkID(id string) error {
	if id == "" || len(id) > 128 {
		return &Error{Kind: Invalid, Op: "read the id", Err: errors.New("an id of a key has 1 to 128 octets")}
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return &Error{Kind: Invalid, Op: "read the id", Err: fmt.Errorf("%q is no id of a key: printable ASCII only", id)}
		}
	}
	return nil
}

// reader reads objects through one session, as the token's vendor has them; without a vendor by the standard.
type reader struct {
	m       p11.Module
	s       p11.Session
	vendor  *Vendor
	confirm confirmer
}

// confirmer signs with keys that want their PIN each time; nil where none is configured for them.
type confirmer func(dst []byte, s p11.Session, p pair, digest []byte) ([]byte, error)

// confirmer gives what signs on a token in a slot.
func (c TokenConfig) confirmer(ctx context.Context, h host, slot uint, serial string) confirmer {
	if c.KeyPIN.IsZero() {
		return nil
	}
	return func(dst []byte, s p11.Session, p pair, digest []byte) ([]byte, error) {
		return h.SignConfirmed(ctx, dst, s, slot, p.mechanism, p.private, digest, c.keyLogin(serial))
	}
}

func (t *Token) reader(ctx context.Context, s p11.Session) reader {
	return reader{t.module, s, t.info.Vendor, t.cfg.confirmer(ctx, t.module, t.slot, t.info.Serial)}
}

// sign makes a signature by a key that was read.
func (r reader) sign(p pair, digest []byte) ([]byte, error) {
	if p.confirmed {
		return r.confirm(nil, r.s, p, digest)
	}
	return r.m.Sign(nil, r.s, p.mechanism, p.private, digest)
}

func (r reader) profile() *Vendor {
	if r.vendor == nil {
		return &generic
	}
	return r.vendor
}

// find looks for the objects of a class with an id; two are enough to know that there is no single one.
func (r reader) find(class uint, id string) ([]p11.Object, error) {
	return r.m.Find(r.s, []*p11.Attribute{p11.Attr(p11.AttrClass, class), p11.Attr(p11.AttrID, []byte(id))}, 2)
}

// octets reads an attribute; one that the object does not have is empty.
func (r reader) octets(o p11.Object, kind uint) ([]byte, error) {
	value, err := r.m.Attribute(r.s, o, kind)
	if errors.Is(err, p11.AttributeTypeInvalid) || errors.Is(err, p11.AttributeSensitive) {
		return nil, nil
	}
	return value, err
}

// number reads a CK_ULONG.
func (r reader) number(o p11.Object, kind uint) (uint, error) {
	value, err := r.m.Attribute(r.s, o, kind)
	if err != nil {
		return 0, err
	}
	return p11.Number(value)
}

// flag reads a CK_BBOOL; absent is false.
func (r reader) flag(o p11.Object, kind uint) (bool, error) {
	value, err := r.octets(o, kind)
	return len(value) == 1 && value[0] != 0, err
}

// pair is what a token holds under one id, as far as it concerns a GOST key.
type pair struct {
	private     p11.Object
	mechanism   uint
	confirmed   bool // by a PIN for each signature
	public      *gost.PublicKey
	certificate *gost.Certificate // nil when there is none
}

func unusable(id, format string, args ...any) error {
	return &Error{Kind: KeyUnusable, Op: fmt.Sprintf("read key %q", id), Err: fmt.Errorf(format, args...)}
}

// one refuses what is missing and what is there twice.
func one(id, what string, found []p11.Object) (p11.Object, error) {
	op := fmt.Sprintf("find key %q", id)
	switch len(found) {
	case 0:
		return 0, &Error{Kind: KeyNotFound, Op: op, Err: fmt.Errorf("no %s has this id", what)}
	case 1:
		return found[0], nil
	default:
		return 0, &Error{Kind: Ambiguous, Op: op, Err: fmt.Errorf("several objects of the kind %s have this id", what)}
	}
}

// pair reads a GOST key. The type is looked at after the search, so that a wrong one is a clear message.
func (r reader) pair(id string) (pair, error) {
	found, err := r.find(p11.ClassPrivateKey, id)
	if err != nil {
		return pair{}, err
	}
	var p pair
	if p.private, err = one(id, "private key", found); err != nil {
		return pair{}, err
	}
	algorithm, err := r.suitable(id, &p)
	if err != nil {
		return pair{}, err
	}
	if p.certificate, err = r.certificate(id); err != nil {
		return pair{}, err
	}
	stored, err := r.publicObject(id, algorithm)
	if err != nil {
		return pair{}, err
	}
	// The certificate says which algorithm a 256-bit key belongs to, 2001 or 2012; without one it is 2012.
	switch cert := p.certificate; {
	case cert == nil && stored == nil:
		return pair{}, unusable(id, "neither a public key nor a certificate is on the token")
	case cert == nil:
		p.public = stored
	case cert.PublicKey == nil:
		return pair{}, unusable(id, "the key of its certificate: %w", cert.PublicKeyErr)
	case cert.PublicKey.Algorithm.Size != algorithm.Size:
		return pair{}, unusable(id, "the certificate is for a key of another size")
	case stored != nil && !samePoint(stored, cert.PublicKey):
		return pair{}, unusable(id, "the certificate and the public key on the token are for different keys")
	default:
		p.public = cert.PublicKey
	}
	return p, nil
}

// suitable checks that a private key can serve unattended, and sets its mechanism and how it signs.
func (r reader) suitable(id string, p *pair) (*gost.Algorithm, error) {
	kind, err := r.number(p.private, p11.AttrKeyType)
	if err != nil {
		return nil, err
	}
	algorithm := gost.GOST2012_256
	switch kind {
	case p11.KeyTypeGOST:
		p.mechanism = r.profile().Mechanism256
	case p11.KeyTypeGOST512:
		p.mechanism, algorithm = r.profile().Mechanism512, gost.GOST2012_512
	default:
		return nil, unusable(id, "it is not a GOST R 34.10 key: %s", keyTypeName(kind))
	}
	if p.mechanism == 0 {
		return nil, unusable(id, "%s signs nothing with keys of %d bit", r.profile().Title, 8*algorithm.Size)
	}
	sign, err := r.octets(p.private, p11.AttrSign)
	if err != nil {
		return nil, err
	}
	if len(sign) == 1 && sign[0] == 0 {
		return nil, unusable(id, "the token does not let it sign: CKA_SIGN is false")
	}
	if p.confirmed, err = r.always(p.private); err != nil {
		return nil, err
	}
	if p.confirmed && r.confirm == nil {
		return nil, unusable(id, "the key %s, and no PIN is configured for that", asksForPIN)
	}
	attended, err := r.waits(p.private)
	if err != nil {
		return nil, err
	}
	if attended != "" {
		return nil, unusable(id, "the key %s, which is unfit for a service", attended)
	}
	return algorithm, nil
}

const asksForPIN = "asks for its PIN at each signature"

// always tells whether a key wants its PIN for each signature.
func (r reader) always(private p11.Object) (bool, error) {
	switch r.profile().AlwaysAuthenticate {
	case Forced:
		return true, nil
	case ByAttribute:
		return r.flag(private, p11.AttrAlwaysAuth)
	}
	return false, nil
}

// attended says which person a key waits for; empty when for none.
func (r reader) attended(private p11.Object) (string, error) {
	if always, err := r.always(private); err != nil || always {
		return asksForPIN, err
	}
	return r.waits(private)
}

// waits says which person a key waits for that no program can stand for.
func (r reader) waits(private p11.Object) (string, error) {
	for _, a := range r.profile().Attended {
		if set, err := r.flag(private, a.Attribute); err != nil || set {
			return a.What, err
		}
	}
	return "", nil
}

// publicObject reads the public key object; nil when there is none. Parameters are never taken from the private object:
// modules are known to write a wrong set there.
func (r reader) publicObject(id string, algorithm *gost.Algorithm) (*gost.PublicKey, error) {
	found, err := r.find(p11.ClassPublicKey, id)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	object, err := one(id, "public key", found)
	if err != nil {
		return nil, err
	}
	value, err := r.octets(object, p11.AttrValue)
	if err != nil {
		return nil, err
	}
	params, err := r.octets(object, p11.AttrGOSTR3410Params)
	if err != nil {
		return nil, err
	}
	if len(value) == 0 || len(params) == 0 {
		return nil, nil // an empty shell; the certificate may tell
	}
	set, err := paramSet(params)
	if err != nil {
		return nil, unusable(id, "parameters of the public key: %w", err)
	}
	value = unwrap(value, 2*algorithm.Size)
	key, err := gost.NewPublicKey(algorithm, set, value)
	if err != nil {
		return nil, unusable(id, "public key: %w%s", err, misfit(algorithm, set, value))
	}
	return key, nil
}

// misfit looks for the way in which a public key is other than its label says, only to give the operator a name for it.
func misfit(a *gost.Algorithm, label *gost.ParamSet, value []byte) string {
	if len(value) != 2*a.Size {
		return ""
	}
	reversed := bytes.Clone(value)
	slices.Reverse(reversed[:a.Size])
	slices.Reverse(reversed[a.Size:])
	if _, err := gost.NewPublicKey(a, label, reversed); err == nil {
		return "; its halves are big-endian"
	}
	for _, set := range gost.ParamSets {
		if set.SameCurve(label) {
			continue
		}
		if _, err := gost.NewPublicKey(a, set, value); err == nil {
			return fmt.Sprintf("; it is on %s, and the token calls it %s", set.Name, label.Name)
		}
	}
	return ""
}

// certificate reads the certificate object; nil when there is none.
func (r reader) certificate(id string) (*gost.Certificate, error) {
	found, err := r.find(p11.ClassCertificate, id)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	object, err := one(id, "certificate", found)
	if err != nil {
		return nil, err
	}
	der, err := r.octets(object, p11.AttrValue)
	if err != nil {
		return nil, err
	}
	cert, err := gost.ParseCertificate(der)
	if err != nil {
		return nil, unusable(id, "its certificate: %w", err)
	}
	return cert, nil
}

// unwrap takes off the OCTET STRING that some modules put around CKA_VALUE; want is the length of the bare value.
func unwrap(value []byte, want int) []byte {
	if len(value) == want {
		return value
	}
	var bare []byte
	if rest, err := asn1.Unmarshal(value, &bare); err == nil && len(rest) == 0 {
		return bare
	}
	return value
}

// paramSet reads the value of CKA_GOSTR3410_PARAMS: the DER encoding of an object identifier.
func paramSet(der []byte) (*gost.ParamSet, error) {
	var oid asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(der, &oid); err != nil || len(rest) != 0 {
		return nil, errors.New("no object identifier")
	}
	set := gost.ParamSetByOID(oid)
	if set == nil {
		return nil, fmt.Errorf("unknown parameter set %s", oid)
	}
	return set, nil
}

// samePoint compares what a token holds; the label 2001 or 2012 is not part of that.
func samePoint(a, b *gost.PublicKey) bool {
	return a.Params.SameCurve(b.Params) && bytes.Equal(a.Bytes(), b.Bytes())
}

func keyTypeName(kind uint) string {
	switch kind {
	case p11.KeyTypeGOST:
		return "gost256"
	case p11.KeyTypeGOST512:
		return "gost512"
	case p11.KeyTypeEC:
		return "ecdsa"
	case p11.KeyTypeRSA:
		return "rsa"
	}
	return fmt.Sprintf("CKK 0x%X", kind)
}
