package hsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm/internal/p11"
	"golang.org/x/crypto/cryptobyte"
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
	Problem     string            // why the key could not serve as a GOST key; empty when nothing is known against it
}

// Keys lists the private keys of the token, ordered by id. Nothing is signed: a key that is listed without a Problem may
// still be refused by Key.
func (t *Token) Keys(ctx context.Context) ([]KeyInfo, error) {
	var list []KeyInfo
	err := t.withSession(ctx, "list keys", func(s session) error {
		r := reader{t.module, s.handle}
		found, err := t.module.Find(s.handle, []*p11.Attribute{p11.Attr(p11.AttrClass, p11.ClassPrivateKey)}, maxListed+1)
		if err != nil {
			return err
		}
		if len(found) > maxListed {
			return &Error{Kind: Config, Op: "list keys", Err: fmt.Errorf("the token has more than %d keys", maxListed)}
		}
		infos := make([]KeyInfo, len(found))
		for i, o := range found {
			id, err := r.octets(o, p11.AttrID)
			if err != nil {
				return err
			}
			kind, err := r.number(o, p11.AttrKeyType)
			if err != nil {
				return err
			}
			info := KeyInfo{ID: string(id), Type: keyTypeName(kind)}
			certificates, err := r.find(p11.ClassCertificate, info.ID)
			if err != nil {
				return err
			}
			info.HasCert = len(certificates) > 0
			if infos[i], err = r.described(info, kind); err != nil {
				return err
			}
		}
		slices.SortFunc(infos, func(a, b KeyInfo) int { return strings.Compare(a.ID, b.ID) })
		list = infos
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
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

// ImportCertificate stores a DER certificate beside the key of that id. Its public key must be the key's, whichever of the
// two labels, 2001 or 2012, it gives it. A certificate that is there already is replaced only when that is asked for; the
// same one again is no error.
func (t *Token) ImportCertificate(ctx context.Context, id string, der []byte, replace bool) error {
	op := fmt.Sprintf("import the certificate of key %q", id)
	refuse := func(kind Kind, format string, args ...any) error {
		return &Error{Kind: kind, Op: op, Err: fmt.Errorf(format, args...)}
	}
	if err := checkID(id); err != nil {
		return t.fail(op, err, Invalid)
	}
	cert, err := gost.ParseCertificate(der)
	if err != nil {
		return t.fail(op, err, Invalid)
	}
	if cert.PublicKey == nil {
		return t.fail(op, fmt.Errorf("its public key: %w", cert.PublicKeyErr), Invalid)
	}
	return t.withReadWrite(ctx, op, func(s p11.Session) error {
		r := reader{t.module, s}
		var p pair
		private, err := r.find(p11.ClassPrivateKey, id)
		if err != nil {
			return err
		}
		if p.private, err = one(id, "private key", private); err != nil {
			return err
		}
		algorithm, err := r.suitable(id, &p)
		if err != nil {
			return err
		}
		public, err := r.publicObject(id, algorithm)
		switch {
		case err != nil:
			return err
		case public != nil && !samePoint(public, cert.PublicKey):
			return refuse(Invalid, "the certificate is for another key")
		case cert.PublicKey.Algorithm.Size != algorithm.Size:
			return refuse(Invalid, "the certificate is for a key of another size")
		}
		// The proof that needs no public object on the token: what the key signs must verify under the certificate.
		k := &Key{token: t, id: id, mechanism: p.mechanism, public: cert.PublicKey, handle: p.private}
		if err := k.selfTest(s); err != nil {
			return err
		}
		old, err := r.find(p11.ClassCertificate, id)
		if err != nil {
			return err
		}
		for _, o := range old {
			value, err := r.octets(o, p11.AttrValue)
			if err != nil {
				return err
			}
			if len(old) == 1 && bytes.Equal(value, der) {
				return nil
			}
			if !replace {
				return refuse(Exists, "the key has another certificate already")
			}
		}
		if _, err := t.module.CreateObject(s, certificateTemplate(id, cert)); err != nil {
			return err
		}
		for _, o := range old {
			if err := t.module.DestroyObject(s, o); err != nil {
				return err
			}
		}
		t.log.Info("certificate imported", "key", id, "serial", cert.Serial.Text(16), "replaced", len(old) > 0)
		return nil
	})
}

func certificateTemplate(id string, cert *gost.Certificate) []*p11.Attribute {
	var serial cryptobyte.Builder
	serial.AddASN1BigInt(cert.Serial)
	return []*p11.Attribute{
		p11.Attr(p11.AttrClass, p11.ClassCertificate), p11.Attr(p11.AttrCertificateType, p11.CertificateX509),
		p11.Attr(p11.AttrToken, true), p11.Attr(p11.AttrPrivate, false),
		p11.Attr(p11.AttrID, []byte(id)), p11.Attr(p11.AttrLabel, []byte(id)),
		p11.Attr(p11.AttrSubject, cert.RawSubject), p11.Attr(p11.AttrIssuer, cert.RawIssuer),
		p11.Attr(p11.AttrSerialNumber, serial.BytesOrPanic()), p11.Attr(p11.AttrValue, cert.Raw),
	}
}
