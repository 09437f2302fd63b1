package hsm

import (
	"context"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm/internal/p11"
)

// ImportKey puts a private key that was made elsewhere on the token, under an id that nothing there has yet. It is stored as
// sensitive and not extractable, and proved: what the token signs must verify under the key's own public key. The token will
// say of it for ever that it was not made there. Many tokens take no private keys; those are refused before anything is sent.
func (t *Token) ImportKey(ctx context.Context, id string, private *gost.PrivateKey) (*gost.PublicKey, error) {
	op := fmt.Sprintf("import key %q", id)
	if err := checkID(id); err != nil {
		return nil, t.fail(op, err, Invalid)
	}
	public := private.Public().(*gost.PublicKey)
	if public.Algorithm == gost.GOST2001 {
		return nil, t.fail(op, errors.New("gost2001 keys are for verification only, nothing new is signed with them"), Invalid)
	}
	err := t.withReadWrite(ctx, op, func(s p11.Session) error { return t.importKey(ctx, s, id, private, public) })
	if err != nil {
		return nil, err
	}
	t.log.Warn("key imported; it exists outside the token", "key", id)
	return public, nil
}

func (t *Token) importKey(ctx context.Context, s p11.Session, id string, private *gost.PrivateKey, public *gost.PublicKey) error {
	r := t.reader(ctx, s)
	form := r.profile().PrivateValue
	if form == NoImport {
		return &Error{Kind: Config, Op: "import", Err: fmt.Errorf("%s takes no private keys: generate the key on the token",
			r.profile().Title)}
	}
	if err := r.vacant(id); err != nil {
		return err
	}
	value, err := privateOctets(private)
	if err != nil {
		return err
	}
	defer clear(value)
	if form == BigEndian {
		slices.Reverse(value)
	}
	pub, priv, err := templates(id, public.Algorithm, public.Params)
	if err != nil {
		return err
	}
	params, err := parameters(public.Algorithm, public.Params)
	if err != nil {
		return err
	}
	// SoftHSM without our patches wants the third set of parameters to be there, and takes an empty one.
	third := p11.Attr(p11.AttrGOST28147Params, []byte{})
	pub = append(pub, third, p11.Attr(p11.AttrValue, public.Bytes()))
	priv = slices.Concat(priv, params, []*p11.Attribute{third, p11.Attr(p11.AttrValue, value)})
	privObject, err := t.module.CreateObject(s, priv)
	if err != nil {
		return fmt.Errorf("the private key: %w", err)
	}
	pubObject, err := t.module.CreateObject(s, pub)
	if err != nil {
		return errors.Join(fmt.Errorf("the public key: %w", err), t.module.DestroyObject(s, privObject))
	}
	// Of what GenerateKey demands, an imported key can only be what holds from now on.
	kept := func(a Attributes) []string {
		a.AlwaysSensitive, a.NeverExtractable = true, true
		return a.Weaknesses()
	}
	stored, err := t.prove(r, id, privObject, public.Algorithm, public.Params, kept)
	if err == nil && !samePoint(stored, public) {
		err = unusable(id, "the token keeps another public key than it was given")
	}
	if err != nil {
		return errors.Join(err, t.module.DestroyObject(s, privObject), t.module.DestroyObject(s, pubObject))
	}
	return nil
}

// privateOctets is the private number, little-endian.
func privateOctets(key *gost.PrivateKey) ([]byte, error) {
	der := key.MarshalPKCS8()
	defer clear(der)
	var info struct {
		Version   int
		Algorithm asn1.RawValue
		Private   []byte
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, err
	}
	return info.Private, nil
}
