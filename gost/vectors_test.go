package gost

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"testing"

	"github.com/epov-signer/epov/gost/gostr341194"
	"github.com/epov-signer/epov/internal/vectors"
)

// testSets is passed wherever vectors use the parameter sets of the standards' examples.
var testSets = AllowTestParams()

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type signVectors struct {
	Groups []struct {
		Algorithm string
		Curve     string
		CurveOID  string    `json:"curve_oid"`
		D         hexBytes  `json:"private_key"`
		PublicKey publicRow `json:"public_key"`
		SPKI      hexBytes  `json:"spki_der"`
		PKCS8     hexBytes  `json:"pkcs8_der"`
		Tests     []struct {
			ID          int
			Name        string
			Digest, Sig hexBytes
			Msg         *hexBytes
			K           hexBytes
			Result      string
			SPKI        hexBytes `json:"spki_der"`
		}
	}
	Encodings []struct {
		ID          int
		Algorithm   string
		Name        string
		SPKI        hexBytes `json:"spki_der"`
		Digest, Sig hexBytes
		Result      string
	} `json:"signature_encodings"`
	PublicKeys []struct {
		ID               int
		Algorithm, Curve string
		Name, Expect     string
		SPKI             hexBytes `json:"spki_der"`
	} `json:"public_keys"`
	PrivateKeys []struct {
		Algorithm, Curve string
		Name, Expect     string
		PKCS8            hexBytes `json:"pkcs8_der"`
		D                hexBytes `json:"private_key"`
		Public           hexBytes `json:"public_key_raw_le"`
	} `json:"private_keys"`
}

type publicRow struct {
	X, Y string
	Raw  hexBytes `json:"raw_le"`
}

func loadSign(t testing.TB) (f signVectors) {
	vectors.JSON(t, "gost/sign.json", &f)
	if len(f.Groups) != 20 || len(f.Encodings) != 36 || len(f.PublicKeys) != 276 || len(f.PrivateKeys) != 60 {
		t.Fatalf("sign.json has %d groups, %d encodings, %d public and %d private keys",
			len(f.Groups), len(f.Encodings), len(f.PublicKeys), len(f.PrivateKeys))
	}
	return f
}

func mustPublicKey(t testing.TB, der []byte) *PublicKey {
	t.Helper()
	k, err := ParsePublicKey(der, testSets)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestSignatures runs the verifier over every row, with and without tables, and the signer over every row that names its
// nonce.
func TestSignatures(t *testing.T) { paths(t, testSignatures) }

func testSignatures(t *testing.T) {
	rows, signed, hashed := 0, 0, 0
	for _, g := range loadSign(t).Groups {
		t.Run(g.Algorithm+"/"+g.Curve, func(t *testing.T) {
			private, err := ParsePrivateKey(g.PKCS8, testSets)
			if err != nil {
				t.Fatal(err)
			}
			public := mustPublicKey(t, g.SPKI)
			groupPrepared := Prepare(public)
			if !private.Public().(*PublicKey).Equal(public) || !bytes.Equal(public.Bytes(), g.PublicKey.Raw) {
				t.Error("d·P is not the public key")
			}
			if public.Params.OID.String() != g.CurveOID || public.Algorithm.Name != g.Algorithm {
				t.Errorf("key is %s %v", public.Algorithm.Name, public.Params.OID)
			}
			for _, v := range g.Tests {
				key, prepared := public, groupPrepared
				if v.SPKI != nil {
					key = mustPublicKey(t, v.SPKI)
					prepared = Prepare(key)
				}
				if v.Msg != nil {
					h := key.Algorithm.Digest.New()
					h.Write(*v.Msg)
					got := h.Sum(nil)
					// rows that must fail may carry a digest that is not the message's
					empty94 := len(*v.Msg) == 0 && bytes.Equal(v.Digest, gostr341194.EmptyEngine[:])
					if v.Result == "valid" && !bytes.Equal(got, v.Digest) && !empty94 {
						t.Errorf("%d %s: digest is %x, want %x", v.ID, v.Name, got, v.Digest)
					}
					hashed++
				}
				err := key.Verify(v.Digest, v.Sig)
				if (err == nil) != (v.Result == "valid") {
					t.Errorf("%d %s: %v, want %s", v.ID, v.Name, err, v.Result)
				}
				if err != nil && !errors.Is(err, ErrVerification) {
					t.Errorf("%d %s: error is %v, want ErrVerification", v.ID, v.Name, err)
				}
				if again := prepared.Verify(v.Digest, v.Sig); !errors.Is(again, err) {
					t.Errorf("%d %s: %v with tables, %v without", v.ID, v.Name, again, err)
				}
				rows++
				vectors.Outcome(t, "sign", fmt.Sprint(v.ID), v.Result, vectors.Verdict(err == nil))
				if v.K != nil {
					signer := private
					if v.SPKI != nil {
						signer = specialKey(t, key)
					}
					var k fe
					k.setBytes(v.K)
					if got := signer.signWithNonce(v.Digest, &k); !bytes.Equal(got, v.Sig) {
						t.Errorf("%d %s: signature is %x, want %x", v.ID, v.Name, got, v.Sig)
					}
					signed++
					vectors.Outcome(t, "nonces", fmt.Sprint(v.ID), "same octets", "same octets")
				}
			}
		})
	}
	t.Logf("%d rows verified, %d of them signed again, %d messages hashed", rows, signed, hashed)
	if rows != 848 || signed != 254 {
		t.Errorf("%d rows and %d nonces, want 848 and 254", rows, signed)
	}
}

// specialKey finds the private key of the rows with d = 1, 2 or q − 1.
func specialKey(t *testing.T, public *PublicKey) *PrivateKey {
	t.Helper()
	c := public.Params.curve
	last := c.q.v
	last[0]--
	for _, d := range []fe{{1}, {2}, last} {
		k, err := newPrivateKey(public.Algorithm, public.Params, &d, []KeyOption{testSets})
		if err != nil {
			t.Fatal(err)
		}
		if k.public.Equal(public) {
			return k
		}
	}
	t.Fatal("a row names a nonce for an unknown key")
	return nil
}

func TestSignatureEncodings(t *testing.T) {
	f := loadSign(t)
	for _, v := range f.Encodings {
		key := mustPublicKey(t, v.SPKI)
		err := key.Verify(v.Digest, v.Sig)
		if (err == nil) != (v.Result == "valid") {
			t.Errorf("%d %s: %v, want %s", v.ID, v.Name, err, v.Result)
		}
		if wrong := len(v.Sig) != key.Algorithm.SignatureSize(); wrong != errors.Is(err, ErrSignatureLength) {
			t.Errorf("%d %s: %d octets give %v", v.ID, v.Name, len(v.Sig), err)
		}
		vectors.Outcome(t, "encodings", fmt.Sprint(v.ID), v.Result, vectors.Verdict(err == nil))
	}
	t.Logf("%d rows", len(f.Encodings))
}

// keyOutcomes are the words for outcomes of the keys' vectors.
var keyOutcomes = map[string]string{"accept": "valid", "lenient-accept": "valid", "reject": "invalid", "ambiguous": "policy"}

func TestPublicKeys(t *testing.T) {
	f := loadSign(t)
	count := map[string]int{}
	for _, v := range f.PublicKeys {
		key, err := ParsePublicKey(v.SPKI, testSets)
		count[v.Expect]++
		vectors.Outcome(t, "public keys", fmt.Sprint(v.ID), keyOutcomes[v.Expect], vectors.Verdict(err == nil))
		switch v.Expect {
		case "accept", "lenient-accept":
			if err != nil {
				t.Errorf("%d %s %s: %v", v.ID, v.Curve, v.Name, err)
				continue
			}
			again, err := ParsePublicKey(key.SubjectPublicKeyInfo(), testSets)
			if err != nil || !again.Equal(key) || again.Params != key.Params {
				t.Errorf("%d %s %s: does not survive encoding: %v", v.ID, v.Curve, v.Name, err)
			}
			if key.Algorithm.Name != v.Algorithm {
				t.Errorf("%d: algorithm is %s, want %s", v.ID, key.Algorithm.Name, v.Algorithm)
			}
		case "reject":
			if err == nil {
				t.Errorf("%d %s %s: accepted", v.ID, v.Curve, v.Name)
			}
		default:
			t.Errorf("%d: no rule for %q", v.ID, v.Expect)
		}
	}
	t.Logf("%d rows: %v", len(f.PublicKeys), count)
}

// TestPrivateKeys: the rows called ambiguous hold the big-endian octets of d, which are the little-endian octets of
// another key. No byte order is tried, so they give that other key, or none when it is out of range; comparing public
// keys tells.
func TestPrivateKeys(t *testing.T) {
	f := loadSign(t)
	count := map[string]int{}
	for i, v := range f.PrivateKeys {
		key, err := ParsePrivateKey(v.PKCS8, testSets)
		count[v.Expect]++
		same := err == nil && bytes.Equal(key.public.Bytes(), v.Public)
		vectors.Outcome(t, "private keys", fmt.Sprint(i), keyOutcomes[v.Expect], vectors.Verdict(same))
		switch v.Expect {
		case "accept", "lenient-accept":
			var d fe
			d.setBytes(v.D)
			if !same || key.d != d {
				t.Errorf("%s %s: %v, the key is not the expected one", v.Curve, v.Name, err)
				continue
			}
			again, err := ParsePrivateKey(key.MarshalPKCS8(), testSets)
			if err != nil || !again.Equal(key) {
				t.Errorf("%s %s: does not survive encoding: %v", v.Curve, v.Name, err)
			}
		case "reject":
			if err == nil {
				t.Errorf("%s %s: accepted", v.Curve, v.Name)
			}
		case "ambiguous":
			if same {
				t.Errorf("%s %s: the byte order was guessed", v.Curve, v.Name)
			}
		default:
			t.Errorf("no rule for %q", v.Expect)
		}
	}
	t.Logf("%d rows: %v", len(f.PrivateKeys), count)
}

func TestParamSets(t *testing.T) {
	var f struct {
		Curves []struct {
			Name, OID        string
			Bits, Cofactor   int
			TestOnly         bool     `json:"test_only"`
			SameCurve        []string `json:"same_curve_as"`
			ID               string
			P, A, B, Q, X, Y string
			M                string
			UsableWith       []string          `json:"usable_with"`
			DigestParamSet   map[string]string `json:"digest_param_set_in_spki"`
			SmallOrder       []struct {
				Name string
				Raw  hexBytes `json:"raw_le"`
			} `json:"small_order_points"`
		}
	}
	vectors.JSON(t, "gost/curves.json", &f)
	if len(f.Curves) != len(ParamSets) {
		t.Fatalf("%d parameter sets, the vectors have %d", len(ParamSets), len(f.Curves))
	}
	byID := map[string]*ParamSet{}
	for _, v := range f.Curves {
		vectors.Outcome(t, "parameter sets", v.ID, "same octets", "same octets")
		p := ParamSetByName(v.Name)
		if p == nil {
			t.Fatalf("no parameter set %s", v.Name)
		}
		byID[v.ID] = p
		if p.OID.String() != v.OID || ParamSetByOID(p.OID) != p || ParamSetByName(p.Name) != p {
			t.Errorf("%s: OID %v, want %s", p.Name, p.OID, v.OID)
		}
		c := p.curve
		if p.TestOnly != v.TestOnly || 8*p.Size() != v.Bits || c.cofactor != v.Cofactor {
			t.Errorf("%s: test only %v, %d octets, cofactor %d", p.Name, p.TestOnly, p.Size(), c.cofactor)
		}
		r := referenceOf(c)
		for _, n := range []struct {
			what string
			got  *big.Int
			want string
		}{{"p", r.p, v.P}, {"a", r.a, v.A}, {"b", r.b, v.B}, {"q", r.q, v.Q}, {"x", r.base.x, v.X}, {"y", r.base.y, v.Y}} {
			if want, _ := new(big.Int).SetString(n.want, 16); n.got.Cmp(want) != 0 {
				t.Errorf("%s: %s is %x, want %x", p.Name, n.what, n.got, want)
			}
		}
		for _, a := range Algorithms {
			want := false
			for _, name := range v.UsableWith {
				want = want || name == a.Name
			}
			if p.UsableWith(a) != want {
				t.Errorf("%s with %s: %v, want %v", p.Name, a.Name, !want, want)
			}
			if want && p.digestParamSet != bytes.Contains([]byte(v.DigestParamSet[a.Name]), []byte("required")) {
				t.Errorf("%s with %s: digestParamSet written: %v, the rule is %q",
					p.Name, a.Name, p.digestParamSet, v.DigestParamSet[a.Name])
			}
		}
		for _, s := range v.SmallOrder {
			if _, err := NewPublicKey(p.algorithms[0], p, s.Raw); !errors.Is(err, ErrPoint) {
				t.Errorf("%s: point %s gives %v, want ErrPoint", p.Name, s.Name, err)
			}
		}
	}
	for _, v := range f.Curves {
		same := map[*ParamSet]bool{byID[v.ID]: true}
		for _, id := range v.SameCurve {
			same[byID[id]] = true
		}
		for _, p := range ParamSets {
			if byID[v.ID].SameCurve(p) != same[p] {
				t.Errorf("%s and %s the same curve: %v", v.Name, p.Name, !same[p])
			}
		}
	}
	if ParamSetByName("") != nil || ParamSetByOID(nil) != nil {
		t.Error("a parameter set without a name")
	}
}
