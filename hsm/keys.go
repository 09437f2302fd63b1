package hsm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm/internal/p11"
)

// maxListed bounds a listing.
const maxListed = 4096

// KeyInfo describes a private key on a token and what belongs to it.
type KeyInfo struct {
	ID          string            // text of CKA_ID
	Type        string            // "gost256", "gost512", "ecdsa", "rsa", else "CKK 0x…"
	Public      *gost.PublicKey   // nil when it is no GOST key or cannot be read
	Certificate *gost.Certificate // nil when there is none or it cannot be read
	HasCert     bool              // a certificate object is there, readable or not
	Attributes  Attributes
	Problem     string // why the key could not serve as a GOST key; empty when nothing is known against it
}

// Attributes are what a token says of a private key. What it does not say is false.
type Attributes struct {
	Label                         string
	Sign                          bool // it may sign
	Private                       bool // invisible without the PIN
	Sensitive, AlwaysSensitive    bool
	Extractable, NeverExtractable bool
	Local                         bool   // made on the token
	AlwaysAuthenticate            bool   // asks for its PIN at each signature
	Attended                      string // for whom it waits at each signature; empty for nobody
}

// Weaknesses says in what the protection of the key falls short of what GenerateKey demands.
func (a Attributes) Weaknesses() []string {
	var list []string
	for _, w := range []struct {
		is   bool
		what string
	}{
		{!a.Private, "is visible without the PIN"},
		{!a.Sensitive, "is not sensitive"},
		{a.Extractable, "is extractable"},
		{a.Sensitive && !a.AlwaysSensitive, "was not always sensitive"},
		{!a.Extractable && !a.NeverExtractable, "was extractable"},
	} {
		if w.is {
			list = append(list, w.what)
		}
	}
	return list
}

func (r reader) attributes(o p11.Object) (a Attributes, err error) {
	label, err := r.octets(o, p11.AttrLabel)
	if err != nil {
		return a, err
	}
	a.Label = string(label)
	for kind, to := range map[uint]*bool{
		p11.AttrSign: &a.Sign, p11.AttrPrivate: &a.Private,
		p11.AttrSensitive: &a.Sensitive, p11.AttrAlwaysSensitive: &a.AlwaysSensitive,
		p11.AttrExtractable: &a.Extractable, p11.AttrNeverExtractable: &a.NeverExtractable,
		p11.AttrLocal: &a.Local, p11.AttrAlwaysAuth: &a.AlwaysAuthenticate,
	} {
		if *to, err = r.flag(o, kind); err != nil {
			return a, err
		}
	}
	a.Attended, err = r.attended(o)
	return a, err
}

// Keys lists the private keys of the token, ordered by id. Nothing is signed: a key that is listed without a Problem may
// still be refused by Key.
func (t *Token) Keys(ctx context.Context) ([]KeyInfo, error) {
	var list []KeyInfo
	err := t.withSession(ctx, "list keys", func(s session) (err error) {
		list, err = t.reader(ctx, s.handle).keys()
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// keys lists the private keys that the session sees, ordered by id.
func (r reader) keys() ([]KeyInfo, error) {
	found, err := r.m.Find(r.s, []*p11.Attribute{p11.Attr(p11.AttrClass, p11.ClassPrivateKey)}, maxListed+1)
	if err != nil {
		return nil, err
	}
	if len(found) > maxListed {
		return nil, &Error{Kind: Config, Op: "list keys", Err: fmt.Errorf("the token has more than %d keys", maxListed)}
	}
	infos := make([]KeyInfo, len(found))
	for i, o := range found {
		id, err := r.octets(o, p11.AttrID)
		if err != nil {
			return nil, err
		}
		kind, err := r.number(o, p11.AttrKeyType)
		if err != nil {
			return nil, err
		}
		info := KeyInfo{ID: string(id), Type: keyTypeName(kind)}
		if info.Attributes, err = r.attributes(o); err != nil {
			return nil, err
		}
		certificates, err := r.find(p11.ClassCertificate, info.ID)
		if err != nil {
			return nil, err
		}
		info.HasCert = len(certificates) > 0
		if infos[i], err = r.described(info, kind); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(infos, func(a, b KeyInfo) int { return strings.Compare(a.ID, b.ID) })
	return infos, nil
}

// described adds what is known of a GOST key; its error is a return code of the module.
func (r reader) described(info KeyInfo, kind uint) (KeyInfo, error) {
	if kind == p11.KeyTypeEC || kind == p11.KeyTypeRSA {
		return info, nil
	}
	err := checkID(info.ID)
	var p pair
	if err == nil {
		p, err = r.pair(info.ID)
	}
	if _, isCode := errors.AsType[p11.Error](err); isCode {
		return info, err
	}
	if e, ok := errors.AsType[*Error](err); ok {
		info.Problem = e.Err.Error()
	}
	info.Public, info.Certificate = p.public, p.certificate
	return info, nil
}
