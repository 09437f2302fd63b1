package hsm

import (
	"context"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm/internal/p11"
)

// GenerateKey makes a key pair that cannot leave the token, under an id that nothing on the token has yet. The pair is read
// back and proved; one that is not what was asked for is deleted again: modules are known to make keys on another curve.
func (t *Token) GenerateKey(ctx context.Context, id string, a *gost.Algorithm, p *gost.ParamSet) (*gost.PublicKey, error) {
	op := fmt.Sprintf("generate key %q", id)
	if err := checkID(id); err != nil {
		return nil, t.fail(op, err, Invalid)
	}
	if a == nil || p == nil {
		return nil, t.fail(op, errors.New("no algorithm or no parameter set given"), Invalid)
	}
	if a == gost.GOST2001 {
		return nil, t.fail(op, errors.New("new keys are of GOST R 34.10-2012"), Invalid)
	}
	var public *gost.PublicKey
	err := t.withReadWrite(ctx, op, func(s p11.Session) error {
		made, err := t.generate(ctx, s, id, a, p)
		if err == nil {
			public = made
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	t.log.Info("key generated", "key", id, "algorithm", a.Name, "params", p.Name)
	return public, nil
}

func (t *Token) generate(ctx context.Context, s p11.Session, id string, a *gost.Algorithm, p *gost.ParamSet) (*gost.PublicKey, error) {
	r := t.reader(ctx, s)
	if err := r.vacant(id); err != nil {
		return nil, err
	}
	generator := p11.MechGOSTKeyPair
	if a.Size == 64 {
		generator = p11.MechGOST512KeyPair
	}
	if able, err := t.module.Mechanisms(t.slot); err != nil {
		return nil, err
	} else if !slices.Contains(able, generator) {
		return nil, &Error{Kind: Config, Op: "generate", Err: fmt.Errorf("the token makes no keys of %s", a.Name)}
	}
	public, private, err := templates(id, a, p)
	if err != nil {
		return nil, err
	}
	params, err := parameters(a, p)
	if err != nil {
		return nil, err
	}
	v := r.profile()
	private = append(private, v.private...)
	if v.PrivateParams == Always {
		private = append(private, params...)
	}
	pub, priv, err := t.module.GenerateKeyPair(s, generator, public, private)
	if v.PrivateParams == Retried && (errors.Is(err, p11.TemplateIncomplete) || errors.Is(err, p11.TemplateInconsistent)) {
		pub, priv, err = t.module.GenerateKeyPair(s, generator, public, slices.Concat(private, params))
	}
	if err != nil {
		return nil, fmt.Errorf("parameter set %s: %w", p.Name, err)
	}
	key, err := t.prove(r, id, priv, a, p, (Attributes).Weaknesses)
	if err != nil {
		return nil, errors.Join(err, t.module.DestroyObject(s, priv), t.module.DestroyObject(s, pub))
	}
	return key, nil
}

// templates are the attributes of a new pair; the private one is without the parameters.
func templates(id string, a *gost.Algorithm, p *gost.ParamSet) (public, private []*p11.Attribute, err error) {
	keyType := p11.KeyTypeGOST
	if a.Size == 64 {
		keyType = p11.KeyTypeGOST512
	}
	params, err := parameters(a, p)
	if err != nil {
		return nil, nil, err
	}
	common := []*p11.Attribute{
		p11.Attr(p11.AttrKeyType, keyType), p11.Attr(p11.AttrToken, true),
		p11.Attr(p11.AttrID, []byte(id)), p11.Attr(p11.AttrLabel, []byte(id)),
	}
	public = slices.Concat(common, params, []*p11.Attribute{
		p11.Attr(p11.AttrClass, p11.ClassPublicKey), p11.Attr(p11.AttrPrivate, false), p11.Attr(p11.AttrVerify, true),
	})
	private = slices.Concat(common, []*p11.Attribute{
		p11.Attr(p11.AttrClass, p11.ClassPrivateKey), p11.Attr(p11.AttrPrivate, true), p11.Attr(p11.AttrSign, true),
		p11.Attr(p11.AttrSensitive, true), p11.Attr(p11.AttrExtractable, false),
	})
	return public, private, nil
}

// prove reads a new pair back and checks that it is the one that was asked for, kept as it was asked for, and signs.
func (t *Token) prove(r reader, id string, priv p11.Object, a *gost.Algorithm, p *gost.ParamSet,
	weaknesses func(Attributes) []string) (*gost.PublicKey, error) {
	attributes, err := r.attributes(priv)
	if err != nil {
		return nil, err
	}
	if weak := weaknesses(attributes); len(weak) > 0 {
		return nil, unusable(id, "the token made a key that %s", strings.Join(weak, ", "))
	}
	made := pair{private: priv}
	algorithm, err := r.suitable(id, &made)
	if err != nil {
		return nil, err
	}
	if algorithm.Size != a.Size {
		return nil, unusable(id, "the token made a key of %d bit", 8*algorithm.Size)
	}
	public, err := r.publicObject(id, a)
	if err != nil {
		return nil, err
	}
	if public == nil {
		return nil, unusable(id, "the token made no public key that can be read")
	}
	if !public.Params.SameCurve(p) {
		return nil, unusable(id, "the token made a key on %s instead of %s", public.Params.Name, p.Name)
	}
	return public, r.selfTest(pair{private: priv, mechanism: made.mechanism, confirmed: made.confirmed, public: public}, id)
}

// vacant refuses an id that anything on the token has.
func (r reader) vacant(id string) error {
	for class, what := range map[uint]string{
		p11.ClassPrivateKey: "private key", p11.ClassPublicKey: "public key", p11.ClassCertificate: "certificate",
	} {
		found, err := r.find(class, id)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			return &Error{Kind: Exists, Op: fmt.Sprintf("make key %q", id), Err: fmt.Errorf("the token has a %s of this id", what)}
		}
	}
	return nil
}

// parameters are CKA_GOSTR3410_PARAMS and CKA_GOSTR3411_PARAMS.
func parameters(a *gost.Algorithm, p *gost.ParamSet) ([]*p11.Attribute, error) {
	set, err := asn1.Marshal(p.OID)
	if err != nil {
		return nil, err
	}
	digest, err := asn1.Marshal(a.Digest.OID)
	if err != nil {
		return nil, err
	}
	return []*p11.Attribute{p11.Attr(p11.AttrGOSTR3410Params, set), p11.Attr(p11.AttrGOSTR3411Params, digest)}, nil
}
