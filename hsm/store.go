package hsm

import (
	"bytes"
	"context"
	"fmt"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm/internal/p11"
	"golang.org/x/crypto/cryptobyte"
)

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
		r := t.reader(ctx, s)
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
		if err := r.selfTest(pair{private: p.private, mechanism: p.mechanism, confirmed: p.confirmed, public: cert.PublicKey},
			id); err != nil {
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
