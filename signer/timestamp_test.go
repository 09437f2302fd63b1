package signer

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/tsp"
)

// desk is an authority without a network.
type desk struct {
	*tsp.Authority
	spoil bool
}

func (d desk) TimeStamp(_ context.Context, octets []byte) ([]byte, error) {
	h := gost.Streebog256.New()
	h.Write(octets)
	query, err := (&tsp.Request{Digest: gost.Streebog256.OID, Imprint: h.Sum(nil), Certificates: true}).Marshal()
	if err != nil {
		return nil, err
	}
	reply, err := d.Answer(query)
	if err != nil {
		return nil, err
	}
	response, err := tsp.ParseResponse(reply)
	if err != nil {
		return nil, err
	}
	if d.spoil {
		response.Token[len(response.Token)-1] ^= 1
	}
	return response.Token, nil
}

func (w *world) authority(t *testing.T) *tsp.Authority {
	key, certificate := w.ca.NewSigner(t, gost.GOST2012_256, "tc26-256-B", testpki.Template{
		CommonName: "TSA", Extensions: []gost.Extension{testpki.TimeStamping},
	})
	return &tsp.Authority{Certificate: certificate, Key: key, Policy: []int{1, 2, 643, 1}}
}

func TestTimeStampedProfiles(t *testing.T) {
	w := newWorld(t)
	sign := func(profile string) (Signed, error) {
		if strings.HasPrefix(profile, "xades") {
			return w.SignXML(t.Context(), w.admin, SignXMLRequest{Key: "keys/EXMP01/ov", Profile: profile, Document: []byte("<a/>")})
		}
		return w.SignCMS(t.Context(), w.admin, SignCMSRequest{Key: "keys/EXMP01/ov", Profile: profile, Content: []byte("text")})
	}
	verify := func(profile string, message []byte, at time.Time) *report.Report {
		t.Helper()
		var r *report.Report
		var err error
		switch profile {
		case "xades-t":
			r, err = w.VerifyXML(t.Context(), w.admin, VerifyXMLRequest{Document: message, Profile: profile, Time: at})
		default:
			r, err = w.VerifyCMS(t.Context(), w.admin, VerifyCMSRequest{Message: message, Detached: strings.HasSuffix(profile, "detached"),
				Content: content(profile), Time: at, Profile: profile})
		}
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, profile := range []string{"cades-t-detached", "cades-t-attached", "xades-t"} {
		w.stamps(t, nil)
		before := w.ring[1].count
		_, err := sign(profile)
		if e := asError(err); e.Code != report.RequestInvalid || !strings.Contains(e.Message, profile) || w.ring[1].count != before {
			t.Errorf("%s without an authority: %v", profile, err)
		}
		w.stamps(t, desk{w.authority(t), true})
		if _, err := sign(profile); err == nil || !strings.HasPrefix(string(asError(err).Code), "timestamp.") {
			t.Errorf("%s with a bad authority: %v", profile, err)
		}
		w.stamps(t, desk{w.authority(t), false})
		signed, err := sign(profile)
		if err != nil {
			t.Errorf("%s: %v", profile, err)
			continue
		}
		r := verify(profile, signed.Bytes, time.Time{})
		if r.Verdict() != report.Valid || len(r.Signatures) != 1 || len(r.Signatures[0].TimeStamps) != 1 ||
			!r.Signatures[0].TimeStamps[0].Trusted {
			t.Errorf("%s: %s, %+v", profile, r.Verdict(), r.Failures())
		}
	}
}

func content(profile string) []byte {
	if strings.HasSuffix(profile, "detached") {
		return []byte("text")
	}
	return nil
}

// stamps has somebody else give time-stamps.
func (w *world) stamps(t *testing.T, by TimeStamper) {
	t.Helper()
	settings := *w.settings.Load()
	settings.TimeStamps = by
	if err := w.Adjust(settings); err != nil {
		t.Fatal(err)
	}
}

// The certificate of the signer has run out since; the time-stamp shows that it was used before.
func TestTimeStampOutlivesCertificate(t *testing.T) {
	w := newWorld(t)
	until := time.Now().Add(time.Hour)
	key, cert := w.ca.NewSigner(t, gost.GOST2012_256, "tc26-256-B", testpki.Template{NotAfter: until})
	w.ring = append(w.ring, &softKey{name: "keys/EXMP01/short/versions/1", key: key, cert: cert})
	w.keys = w.ring
	w.stamps(t, desk{w.authority(t), false})
	for profile, want := range map[string]report.Verdict{"cades-t-attached": report.Valid, "cades-bes-attached": report.Invalid} {
		signed, err := w.SignCMS(t.Context(), w.admin, SignCMSRequest{Key: "keys/EXMP01/short", Profile: profile, Content: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		r, err := w.VerifyCMS(t.Context(), w.admin, VerifyCMSRequest{Message: signed.Bytes, Time: until.Add(time.Hour)})
		if err != nil || r.Verdict() != want {
			t.Errorf("%s: %s, %+v, %v", profile, r.Verdict(), r.Failures(), err)
		}
	}
}

// A countersignature is a profile like others: the message is the content, and needs no time-stamp.
func TestCountersign(t *testing.T) {
	w := newWorld(t)
	sign := func(profile string, content []byte) ([]byte, error) {
		signed, err := w.SignCMS(t.Context(), w.admin, SignCMSRequest{Key: "keys/EXMP01/big", Profile: profile, Content: content})
		return signed.Bytes, err
	}
	message, err := sign("cades-bes-attached", []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	if message, err = sign("countersignature", message); err != nil {
		t.Fatal(err)
	}
	r, err := w.VerifyCMS(t.Context(), w.admin, VerifyCMSRequest{Message: message})
	if err != nil || r.Verdict() != report.Valid || len(r.Signatures) != 2 || r.Signatures[1].Name != "SignerInfo 1, countersignature 1" {
		t.Errorf("%v, %+v", err, r)
	}
	before := w.ring[2].count
	if _, err := sign("countersignature", []byte("text")); asError(err).Code != report.CMSSyntax || w.ring[2].count != before {
		t.Errorf("no message: %v", err)
	}
}
