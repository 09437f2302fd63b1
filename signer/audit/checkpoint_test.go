package audit

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/oracle"
)

const origin = "epov.example.ru/audit/test"

// softKey is a key in software.
type softKey struct {
	key  *gost.PrivateKey
	fail error
}

func (k softKey) Public() *gost.PublicKey { return k.key.Public().(*gost.PublicKey) }
func (k softKey) SignDigest(_ context.Context, digest []byte) ([]byte, error) {
	if k.fail != nil {
		return nil, k.fail
	}
	return k.key.Sign(rand.Reader, digest, nil)
}

func newKey(tb testing.TB, a *gost.Algorithm, set string) softKey {
	tb.Helper()
	key, err := gost.GenerateKey(rand.Reader, a, gost.ParamSetByName(set))
	if err != nil {
		tb.Fatal(err)
	}
	return softKey{key: key}
}

func parsed(tb testing.TB, data string) *Key {
	tb.Helper()
	k, err := ParseKey([]byte(data))
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// one makes the checkpoint of a log with one record.
func one(tb testing.TB, name string, k CheckpointKey, record []byte) []byte {
	tb.Helper()
	root := LeafHash(record)
	text := name + "\n1\n" + base64.StdEncoding.EncodeToString(root[:]) + "\n"
	signed, err := note.Sign(&note.Note{Text: text}, NoteSigner(name, k, time.Second))
	if err != nil {
		tb.Fatal(err)
	}
	return signed
}

func TestCheckpointSignatures(t *testing.T) {
	record := (&Record{Time: time.Now(), Kind: Signature}).Append(nil)
	for _, k := range []softKey{newKey(t, gost.GOST2012_256, "CryptoPro-A"), newKey(t, gost.GOST2012_512, "tc26-512-A")} {
		signed := one(t, origin, k, record)
		line := VerifierKey(origin, k.Public())
		spki := k.Public().SubjectPublicKeyInfo()
		for name, key := range map[string]string{
			"verifier key": line + "\n", "DER": string(spki),
			"PEM": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})),
		} {
			c, err := parsed(t, key).Open(signed)
			if err != nil || c.Origin != origin || c.Size != 1 || c.Root != LeafHash(record) {
				t.Errorf("%s: %+v, %v", name, c, err)
			}
		}
		other := newKey(t, gost.GOST2012_256, "CryptoPro-A")
		if _, err := parsed(t, VerifierKey(origin, other.Public())).Open(signed); err == nil {
			t.Error("another key's signature is taken for its own")
		}
		if _, err := parsed(t, VerifierKey("other.example.ru", k.Public())).Open(signed); err == nil {
			t.Error("a checkpoint of another log is taken for its own")
		}
		for i := range signed {
			changed := bytes.Clone(signed)
			changed[i] ^= 4
			if c, err := parsed(t, line).Open(changed); err == nil {
				t.Fatalf("octet %d is not missed: %+v", i, c)
			}
		}
		if _, err := NoteSigner(origin, softKey{k.key, errors.New("away")}, time.Second).Sign([]byte("x\n")); err == nil {
			t.Error("a key that is away signs")
		}
	}
	// One who signs for a log by another name has not said that it is this log.
	k := newKey(t, gost.GOST2012_256, "CryptoPro-A")
	text := "another.example.ru\n0\n" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n"
	signed, err := note.Sign(&note.Note{Text: text}, NoteSigner(origin, k, time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parsed(t, VerifierKey(origin, k.Public())).Open(signed); err == nil {
		t.Error("a checkpoint that another name has signed is right")
	}
}

// TestOpenSSLAgrees has OpenSSL check the signature of a checkpoint.
func TestOpenSSLAgrees(t *testing.T) {
	k := newKey(t, gost.GOST2012_256, "CryptoPro-A")
	signed := string(one(t, origin, k, []byte("record")))
	text, last, _ := strings.Cut(signed, "\n\n")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.TrimPrefix(last, "— "+origin+" ")))
	if err != nil || len(raw) != 4+64 {
		t.Fatal(raw, err)
	}
	public := oracle.File(t, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.Public().SubjectPublicKeyInfo()}))
	out, err := oracle.OpenSSL(t, []byte(text+"\n"), "dgst", "-md_gost12_256", "-verify", public, "-signature", oracle.File(t, raw[4:]))
	if err != nil || !strings.Contains(string(out), "Verified OK") {
		t.Errorf("%s, %v", out, err)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	k := newKey(t, gost.GOST2012_256, "CryptoPro-A")
	good := VerifierKey(origin, k.Public())
	for name, data := range map[string]string{
		"nothing": "", "words": "a key", "another id": strings.Replace(good, "+", "+0", 1), "another name": "x" + good,
		"cut": good[:len(good)-8], "a name with a blank": strings.Replace(good, "epov", "ep ov", 1), "two": good + "\n" + good,
		"of Ed25519, cut": "x+00000000+AQ==",
	} {
		if _, err := ParseKey([]byte(data)); err == nil {
			t.Errorf("%s is a key", name)
		}
	}
}

func TestReadCheckpointRefuses(t *testing.T) {
	root := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, text := range []string{"", "a\n", "a\n1\n" + root + "\n", "\n1\n" + root + "\n\n",
		"a\n01\n" + root + "\n\n", "a\n-1\n" + root + "\n\n",
		"a\n1\nAAAA\n\n", "a\nx\n" + root + "\n\n", "a\n18446744073709551616\n" + root + "\n\n"} {
		if c, err := ReadCheckpoint([]byte(text)); err == nil {
			t.Errorf("%q is %+v", text, c)
		}
	}
	if c, err := ReadCheckpoint([]byte("a\n7\n" + root + "\nextension\n\n— x y\n")); err != nil || c.Size != 7 {
		t.Error(c, err)
	}
}

func TestReceipt(t *testing.T) {
	k := newKey(t, gost.GOST2012_256, "CryptoPro-A")
	r := full()
	receipt := Receipt{Log: origin, Record: r, Checkpoint: one(t, origin, k, r.Append(nil))}
	key := parsed(t, VerifierKey(origin, k.Public()))
	data := receipt.Marshal()
	again, err := ParseReceipt(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Verify(key); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]string{
		`"receipt": 1`: `"receipt": 2`, `"log": "`: `"log": "x`, `"index": 0`: `"index": 1`, `"caller": "gateway"`: `"caller": "gatewaz"`,
		`"proof": []`: `"proof": ["AAAA"]`, `\n1\n`: `\n2\n`, `"dropped": 3`: `"dropped": 4`, `"log"`: `"extra": 1, "log"`,
	} {
		changed := strings.Replace(string(data), name, change, 1)
		if changed == string(data) {
			t.Errorf("%s is not in the receipt:\n%s", name, data)
			continue
		}
		forged, err := ParseReceipt([]byte(changed))
		if err == nil {
			_, err = forged.Verify(key)
		}
		if err == nil {
			t.Errorf("%s instead of %s is not missed", change, name)
		}
	}
}

// TestReceiptsAreReadOneWay refuses what our own reader and others would read differently.
func TestReceiptsAreReadOneWay(t *testing.T) {
	k := newKey(t, gost.GOST2012_256, "CryptoPro-A")
	r := full()
	receipt := Receipt{Log: origin, Record: r, Checkpoint: one(t, origin, k, r.Append(nil))}
	data := string(receipt.Marshal())
	for _, change := range [][2]string{
		{`"index": 0`, `"index": 7, "index": 0`}, {`"index": 0`, `"Index": 0`}, {`"index": 0`, `"index": 7, "INDEX": 0`},
		{`"caller":`, `"caller": "somebody else", "caller":`}, {`"caller":`, `"caller": "somebody else", "Caller":`},
		{`"kind":`, `"kind": "refusal", "\u212And":`}, {`"of":`, `"of": "content", "of":`}, {`"receipt": 1`, `"receipt": 1, "receipt": 1`},
		{`"proof": []`, `"proof": [], "": 1`}, {`"index": 0`, `"index": 0.0`}, {`"index": 0`, `"index": -1`},
		{`"index": 0`, `"index": 18446744073709551616`},
		{`"index": 0`, `"index": null`}, {`"log": "`, `"log": null, "x": "`}, {"}\n", "}\n{}"}, {"{", "[{"},
	} {
		changed := strings.Replace(data, change[0], change[1], 1)
		if changed == data {
			t.Fatalf("%s is not in the receipt:\n%s", change[0], data)
		}
		forged, err := ParseReceipt([]byte(changed))
		if err == nil && change[1] == `"index": null` { // no number is the number 0, which it has
			continue
		}
		if err == nil {
			t.Errorf("%s is read as %+v", change[1], forged)
		}
	}
	deep := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
	for _, data := range []string{deep, `{"receipt":` + deep + `}`,
		strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000), strings.Repeat(" ", MaxReceiptBytes+1)} {
		if _, err := ParseReceipt([]byte(data)); err == nil {
			t.Error("a receipt out of brackets")
		}
	}
}

// TestReceiptForgeries takes what is right from other places: another record's proof, another log's checkpoint, the checkpoint
// of a log that was rolled back and went on differently, signatures of others, more than one key's, lines that look like some.
func TestReceiptForgeries(t *testing.T) {
	k, other := newKey(t, gost.GOST2012_256, "CryptoPro-A"), newKey(t, gost.GOST2012_256, "CryptoPro-A")
	key := parsed(t, VerifierKey(origin, k.Public()))
	a, b := full(), full()
	b.Caller = "somebody else"
	hashA, hashB := LeafHash(a.Append(nil)), LeafHash(b.Append(nil))
	root := rfc6962.DefaultHasher.HashChildren(hashA[:], hashB[:])
	sign := func(name string, size int, root []byte, keys ...softKey) []byte {
		var signers []note.Signer
		for _, k := range keys {
			signers = append(signers, NoteSigner(name, k, time.Second))
		}
		text := fmt.Sprintf("%s\n%d\n%s\n", name, size, base64.StdEncoding.EncodeToString(root))
		signed, err := note.Sign(&note.Note{Text: text}, signers...)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	two := sign(origin, 2, root, k)
	good := Receipt{Log: origin, Index: 1, Record: b, Proof: [][]byte{hashA[:]}, Checkpoint: two}
	if _, err := good.Verify(key); err != nil {
		t.Fatal(err)
	}
	if _, err := (&Receipt{Log: origin, Index: 1, Record: b, Proof: good.Proof,
		Checkpoint: sign(origin, 2, root, k, other)}).Verify(key); err != nil {
		t.Error("with a signature of somebody else besides:", err)
	}
	_, signature, _ := strings.Cut(string(two), "\n\n")
	text := strings.TrimSuffix(string(two), "\n"+signature)
	stranger := strings.Replace(string(sign(origin, 2, root, other)), text, "", 1)
	for what, change := range map[string]func(*Receipt){
		"another number":              func(r *Receipt) { r.Index = 0 },
		"a number beyond the log":     func(r *Receipt) { r.Index = 2 },
		"the greatest number":         func(r *Receipt) { r.Index = 1<<64 - 1 },
		"another record":              func(r *Receipt) { r.Record = a },
		"the proof of another":        func(r *Receipt) { r.Proof = [][]byte{hashB[:]} },
		"no proof":                    func(r *Receipt) { r.Proof = nil },
		"a longer proof":              func(r *Receipt) { r.Proof = [][]byte{hashA[:], hashA[:]} },
		"a short hash":                func(r *Receipt) { r.Proof = [][]byte{hashA[:31]} },
		"an inner node as record":     func(r *Receipt) { r.Proof, r.Checkpoint = nil, sign(origin, 1, root, k) },
		"another log's checkpoint":    func(r *Receipt) { r.Log, r.Checkpoint = "other.example.ru", sign("other.example.ru", 2, root, k) },
		"another log's, by this name": func(r *Receipt) { r.Checkpoint = sign("other.example.ru", 2, root, k) },
		"this log under another name": func(r *Receipt) { r.Log = "other.example.ru" },
		"a stranger's signature":      func(r *Receipt) { r.Checkpoint = sign(origin, 2, root, other) },
		"before it was in the log":    func(r *Receipt) { r.Checkpoint = sign(origin, 1, hashA[:], k) },
		"after the log was rolled back": func(r *Receipt) {
			r.Checkpoint = sign(origin, 2, rfc6962.DefaultHasher.HashChildren(hashA[:], hashA[:]), k)
		},
		"an empty log": func(r *Receipt) {
			r.Index, r.Checkpoint = 0,
				sign(origin, 0, rfc6962.DefaultHasher.EmptyRoot(), k)
		},
		"no signature":                   func(r *Receipt) { r.Checkpoint = []byte(text) },
		"signature in the text":          func(r *Receipt) { r.Checkpoint = []byte(string(two) + "\n" + stranger[1:]) },
		"a signature of this key's name": func(r *Receipt) { r.Checkpoint = []byte(text + strings.Replace(stranger, "\n\n", "\n", 1)) },
		"text after the signatures":      func(r *Receipt) { r.Checkpoint = append(bytes.Clone(two), "x\n"...) },
		"a text with more":               func(r *Receipt) { r.Checkpoint = []byte(text + "extension\n\n" + signature) },
		"carriage returns":               func(r *Receipt) { r.Checkpoint = bytes.ReplaceAll(two, []byte("\n"), []byte("\r\n")) },
		"a thousand signatures": func(r *Receipt) {
			r.Checkpoint = []byte(text + "\n" +
				strings.Repeat(stranger[1:], 100) + signature)
		},
		"too large": func(r *Receipt) { r.Checkpoint = append(bytes.Repeat([]byte("x\n"), MaxCheckpointBytes), two...) },
	} {
		r := good
		change(&r)
		if c, err := r.Verify(key); err == nil {
			t.Errorf("%s: %+v", what, c)
		}
	}
}

func FuzzReceipt(f *testing.F) {
	k := newKey(f, gost.GOST2012_256, "CryptoPro-A")
	r := full()
	receipt := Receipt{Log: origin, Record: r, Proof: [][]byte{make([]byte, 32)}, Checkpoint: one(f, origin, k, r.Append(nil))}
	key := parsed(f, VerifierKey(origin, k.Public()))
	f.Add(receipt.Marshal())
	f.Add([]byte(`{"receipt":1,"record":{"v":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseReceipt(data)
		if err != nil {
			return
		}
		if _, err := r.Verify(key); err == nil && string(r.Record.Append(nil)) != string(receipt.Record.Append(nil)) {
			t.Fatal("a receipt of a record that was never signed for")
		}
		if again, err := ParseReceipt(r.Marshal()); err != nil || string(again.Marshal()) != string(r.Marshal()) {
			t.Fatalf("%q is written as %q: %v", data, r.Marshal(), err)
		}
	})
}

func FuzzKey(f *testing.F) {
	k := newKey(f, gost.GOST2012_256, "CryptoPro-A")
	f.Add([]byte(VerifierKey(origin, k.Public())), one(f, origin, k, []byte("x")))
	f.Add(k.Public().SubjectPublicKeyInfo(), []byte("a\n1\n\n— a AAAA\n"))
	f.Fuzz(func(t *testing.T, key, checkpoint []byte) {
		if k, err := ParseKey(key); err == nil {
			if c, err := k.Open(checkpoint); err == nil && !ValidOrigin(c.Origin) {
				t.Fatalf("a log called %q", c.Origin)
			}
		}
	})
}
