package hsm

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm/internal/p11"
)

// keys looks at the keys that a token is meant to hold, else at all that are seen.
func (d *doctor) keys(subject string, r reader, token string, in bool) {
	var wanted []ExaminedKey
	for _, k := range d.Keys {
		if k.Token == token {
			wanted = append(wanted, k)
		}
	}
	listed := len(wanted) > 0
	if !listed {
		ids, err := r.ids(in)
		if err != nil {
			d.say("key.silent", subject, "%v", cause(err))
			return
		}
		for _, id := range ids {
			wanted = append(wanted, ExaminedKey{Name: "id " + id, ID: id})
		}
	}
	for _, k := range wanted {
		name := "key " + k.Name
		if err := checkID(k.ID); err != nil {
			d.say("key.other", name, "%v", cause(err))
			continue
		}
		if in {
			d.key(name, r, k)
		} else {
			d.publicParts(name, r, k)
		}
	}
}

// ids are the ids of all private keys, or of what is visible without a login.
func (r reader) ids(in bool) (ids []string, err error) {
	classes := []uint{p11.ClassPrivateKey}
	if !in {
		classes = []uint{p11.ClassPublicKey, p11.ClassCertificate}
	}
	for _, class := range classes {
		found, err := r.m.Find(r.s, []*p11.Attribute{p11.Attr(p11.AttrClass, class)}, maxListed)
		if err != nil {
			return nil, err
		}
		for _, o := range found {
			id, err := r.octets(o, p11.AttrID)
			if err != nil {
				return nil, err
			}
			ids = append(ids, string(id))
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// key looks at a key through a session that is logged in, and has it sign.
func (d *doctor) key(subject string, r reader, k ExaminedKey) {
	p, err := r.pair(k.ID)
	switch kind := KindOf(err); {
	case err == nil:
	case kind == KeyNotFound:
		d.say("key.absent", subject, "%v", cause(err))
		return
	case kind == Ambiguous:
		d.say("key.duplicate", subject, "%v", cause(err))
		return
	case kind == KeyUnusable:
		d.say("key.unusable", subject, "%v", cause(err))
		return
	default:
		d.say("key.silent", subject, "%v", cause(err))
		return
	}
	attributes, err := r.attributes(p.private)
	if err != nil {
		d.say("key.silent", subject, "its attributes: %v", err)
		return
	}
	for _, weak := range attributes.Weaknesses() {
		d.say("key.weak", subject, "it %s", weak)
	}
	start := time.Now()
	if err := r.selfTest(p, k.ID); err != nil {
		if KindOf(err) == WrongSignature {
			d.say("key.wrong-signature", subject, "%v", cause(err))
		} else {
			d.say("key.silent", subject, "%v", cause(err))
		}
		return
	}
	d.say("key.signs", subject, "%s, %s; a signature took %v and verifies", p.public.Algorithm.Name, p.public.Params.Name,
		time.Since(start).Round(10*time.Microsecond))
	d.certificate(subject, k, p.public, p.certificate)
}

// publicParts looks at what is visible without a login.
func (d *doctor) publicParts(subject string, r reader, k ExaminedKey) {
	cert, err := r.certificate(k.ID)
	if err != nil {
		d.say("certificate.unreadable", subject, "%v", cause(err))
		return
	}
	var public *gost.PublicKey
	for _, a := range []*gost.Algorithm{gost.GOST2012_256, gost.GOST2012_512} {
		if public, err = r.publicObject(k.ID, a); err == nil {
			break
		}
	}
	switch {
	case err != nil:
		d.say("key.unusable", subject, "%v", cause(err))
		return
	case public == nil && cert == nil:
		d.say("key.unseen", subject, "no public key and no certificate is visible without a login")
	case public == nil:
		d.say("key.unseen", subject, "its certificate is there, a public key is not visible")
	default:
		d.say("key.unseen", subject, "its public key is there: %s", public.Params.Name)
	}
	d.certificate(subject, k, public, cert)
}

// certificate looks at the certificate that the service would use with the key; public is nil where it is not known.
func (d *doctor) certificate(subject string, k ExaminedKey, public *gost.PublicKey, stored *gost.Certificate) {
	c := k.Certificate
	switch {
	case c == nil && stored == nil:
		d.say("key.no-certificate", subject, "neither the token nor the configuration has a certificate for it")
		return
	case c == nil:
		c = stored
	case stored != nil && !bytes.Equal(c.Raw, stored.Raw):
		d.say("certificate.differs", subject, "the token has the one with serial number %s, the configuration %s",
			stored.Serial.Text(16), c.Serial.Text(16))
	}
	d.certificates = append(d.certificates, seenCertificate{subject, c})
	if c.PublicKey == nil {
		d.say("certificate.mismatch", subject, "its key cannot be used: %v", c.PublicKeyErr)
		return
	}
	if public != nil && !samePoint(public, c.PublicKey) {
		d.say("certificate.mismatch", subject, "the certificate %s is of another key", c.Serial.Text(16))
		return
	}
	days := int(math.Floor(c.NotAfter.Sub(d.Now).Hours() / 24))
	until := c.NotAfter.UTC().Format(time.DateOnly)
	switch {
	case d.Now.After(c.NotAfter):
		d.say("certificate.over", subject, "its certificate is over since %s", until)
	case d.Now.Before(c.NotBefore):
		d.say("certificate.not-begun", subject, "its certificate begins at %s", c.NotBefore.UTC().Format(time.RFC3339))
	case !c.PrivateKeyNotAfter.IsZero() && d.Now.After(c.PrivateKeyNotAfter):
		d.say("certificate.key-over", subject, "the key may sign until %s", c.PrivateKeyNotAfter.UTC().Format(time.DateOnly))
	case days < 30:
		d.say("certificate.ends-soon", subject, "its certificate has %d days left, until %s", days, until)
	case c.HasKeyUsage && c.KeyUsage&(gost.UsageDigitalSignature|gost.UsageContentCommitment) == 0:
		d.say("certificate.usage", subject, "its certificate is for %s", c.KeyUsage)
	default:
		d.say("certificate.good", subject, "%s, %d days left, until %s", c.Subject, days, until)
	}
}

// clock compares the clock with the times at hand: nothing of today comes from the future.
func (d *doctor) clock() {
	const leeway = 5 * time.Minute
	behind := false
	for _, c := range d.certificates {
		if d.Now.Add(leeway).Before(c.NotBefore) {
			behind = true
			d.say("clock.behind", "clock", "it says %s, and the certificate of %s begins at %s",
				d.Now.UTC().Format(time.RFC3339), c.subject, c.NotBefore.UTC().Format(time.RFC3339))
		}
	}
	for _, f := range d.fileTimes() {
		if d.Now.Add(leeway).Before(f.changed) {
			behind = true
			d.say("clock.behind", "clock", "it says %s, and %s was changed at %s",
				d.Now.UTC().Format(time.RFC3339), f.path, f.changed.UTC().Format(time.RFC3339))
		}
	}
	if !behind {
		d.say("clock.good", "clock", "%s; no certificate (of %d) and no file (of %d) is from its future",
			d.Now.UTC().Format(time.RFC3339), len(d.certificates), len(d.fileTimes()))
	}
}

func (d *doctor) tokenClock(subject string, raw p11.TokenInfo) {
	if len(raw.Clock) < 14 {
		return
	}
	t, err := time.Parse("20060102150405", raw.Clock[:14])
	if err != nil {
		return
	}
	if off := d.Now.Sub(t).Abs(); off > 5*time.Minute {
		d.say("clock.token", subject, "its clock says %s, which is %s off", t.Format(time.RFC3339), fmt.Sprint(off.Round(time.Second)))
	}
}
