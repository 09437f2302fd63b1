package signer

import (
	"slices"
	"strings"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/report"
)

// A check goes the way of a signature: what it lets pass is signed, what it refuses is refused with the same reason.
func TestCheckSign(t *testing.T) {
	w := newWorld(t)
	key, cert := w.ca.NewSigner(t, gost.GOST2012_256, "tc26-256-B", testpki.Template{NotAfter: w.now().Add(notice / 2)})
	w.ring = append(w.ring, &softKey{name: "keys/EXMP01/soon/versions/1", key: key, cert: cert},
		&softKey{name: "keys/EXMP01/away/versions/1", key: key, cert: cert, away: report.Errorf(report.TokenAway, report.Place{}, "away")})
	w.keys = w.ring
	doc := unsigned()
	digest := make([]byte, 32)
	codes := func(checks []report.Check) (out []report.Code) {
		for _, c := range checks {
			if c.Status == report.Failed && c.Code != report.CertForm { // the certificates of tests are no qualified ones
				out = append(out, c.Code)
			}
		}
		return out
	}
	for _, tc := range []struct {
		name   string
		req    CheckSignRequest
		want   []report.Code // of failed checks
		warned report.Code
	}{
		{"in order", CheckSignRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: doc}, nil, ""},
		{"CMS", CheckSignRequest{Key: "keys/EXMP01/ov", Profile: "pkcs7-detached", Content: []byte("x")}, nil, ""},
		{"CMS by digest", CheckSignRequest{Key: "keys/EXMP01/ov", Profile: "pkcs7-detached", ByDigest: true, Digest: digest}, nil, ""},
		{"wrong digest", CheckSignRequest{Key: "keys/EXMP01/big", Profile: "pkcs7-detached", ByDigest: true, Digest: digest},
			[]report.Code{report.RequestInvalid}, ""},
		{"no target", CheckSignRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: []byte("<a/>")},
			[]report.Code{report.TargetMissing}, ""},
		{"DOCTYPE", CheckSignRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: []byte("<!DOCTYPE a><a/>")},
			[]report.Code{report.XMLDoctype}, ""},
		{"too large", CheckSignRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: make([]byte, 1<<20+1)},
			[]report.Code{report.XMLLimit}, ""},
		{"two at once", CheckSignRequest{Key: "keys/EXMP01/old", Profile: "smev3", Document: []byte("<a/>")},
			[]report.Code{report.CertTime, report.TargetMissing}, report.CertTime},
		{"no certificate", CheckSignRequest{Key: "keys/EXMP01/bare", Profile: "smev3", Document: doc},
			[]report.Code{report.KeyUnusable}, ""},
		{"for key agreement", CheckSignRequest{Key: "keys/EXMP01/tls", Profile: "smev3", Document: doc},
			[]report.Code{report.CertUsage}, report.CertUsage},
		{"the token is away", CheckSignRequest{Key: "keys/EXMP01/away", Profile: "smev3", Document: doc},
			[]report.Code{report.TokenAway}, report.CertTime},
		{"ends soon", CheckSignRequest{Key: "keys/EXMP01/soon", Profile: "smev3", Document: doc}, nil, report.CertTime},
		{"no authority for time-stamps",
			CheckSignRequest{Key: "keys/EXMP01/ov", Profile: "xades-t", Document: []byte("<a/>")},
			[]report.Code{report.RequestInvalid}, ""},
		{"a mistake SMEV refuses", CheckSignRequest{Key: "keys/EXMP01/ov", Profile: "smev3",
			Document: []byte(strings.Replace(string(doc), ` accepted="true"`, "", 1))}, nil, report.MessageForm},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := w.CheckSign(t.Context(), w.admin, tc.req)
			if err != nil {
				t.Fatal(err)
			}
			if got := codes(r.Checks); !slices.Equal(got, tc.want) || r.Ready() != (len(tc.want) == 0) {
				t.Errorf("checks %+v", r.Checks)
			}
			if warned := codes(r.Warnings); tc.warned == "" && len(warned) > 0 || tc.warned != "" && !slices.Contains(warned, tc.warned) {
				t.Errorf("warnings %+v", r.Warnings)
			}
			if form := slices.ContainsFunc(r.Warnings,
				func(c report.Check) bool { return c.Code == report.CertForm }); form != (tc.name != "no certificate") {
				t.Errorf("warnings %+v", r.Warnings)
			}
			if !strings.HasPrefix(r.Key, tc.req.Key+"/versions/") {
				t.Error(r.Key)
			}
			if strings.HasPrefix(tc.req.Profile, "pkcs7") || tc.name == "the token is away" {
				return
			}
			_, err = w.SignXML(t.Context(), w.admin, SignXMLRequest{Key: tc.req.Key, Profile: tc.req.Profile, Document: tc.req.Document})
			if got := code(err); len(tc.want) > 0 && got != string(tc.want[0]) || len(tc.want) == 0 && err != nil {
				t.Errorf("signing says %s, the check %v", got, tc.want)
			}
		})
	}
}

// Checks ask for the same rights as signatures, and touch no token.
func TestCheckSignRights(t *testing.T) {
	w := newWorld(t, party{name: "gateway", san: "gw.example.ru", grants: []Grant{
		{Keys: []string{"keys/EXMP01/*"}, Operations: []Operation{OpSignXML, OpSignCMS}}}})
	gateway := w.caller(t, "gw.example.ru")
	for _, tc := range []struct {
		name string
		req  CheckSignRequest
		want report.Code
	}{
		{"other system", CheckSignRequest{Key: "keys/OTHER1/ov", Profile: "smev3", Document: unsigned()}, report.AccessDenied},
		{"digest", CheckSignRequest{Key: "keys/EXMP01/ov", Profile: "pkcs7-detached", ByDigest: true, Digest: make([]byte, 32)},
			report.AccessDenied},
		{"no such key", CheckSignRequest{Key: "keys/EXMP01/nothing", Profile: "smev3", Document: unsigned()}, report.KeyUnknown},
		{"no such profile", CheckSignRequest{Key: "keys/EXMP01/ov", Profile: "smev4", Document: unsigned()}, report.RequestInvalid},
		{"no key name", CheckSignRequest{Key: "ov", Profile: "smev3", Document: unsigned()}, report.RequestInvalid},
	} {
		if _, err := w.CheckSign(t.Context(), gateway, tc.req); code(err) != string(tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if _, err := w.CheckSign(t.Context(), gateway,
		CheckSignRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: unsigned()}); err != nil {
		t.Error(err)
	}
	for _, k := range w.ring {
		if k.count > 0 {
			t.Errorf("%s was asked to sign", k.name)
		}
	}
	if strings.Contains(w.log.String(), "outcome=signed") {
		t.Error("a check is logged as a signature")
	}
}
