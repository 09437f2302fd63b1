package gost

import (
	"strings"
	"testing"
)

func TestSelfTest(t *testing.T) {
	if err := SelfTest(); err != nil {
		t.Fatal(err)
	}
	covered := map[*Algorithm]bool{}
	arithmetics := map[[3]any]bool{}
	for _, v := range signatureAnswers {
		covered[v.algorithm] = true
		arithmetics[arithmeticOf(ParamSetByName(v.params))] = true
	}
	for _, p := range ParamSets {
		if !p.TestOnly && !arithmetics[arithmeticOf(p)] {
			t.Errorf("the self-test leaves out the arithmetic of %s", p.Name)
		}
	}
	for _, a := range Algorithms {
		if !covered[a] {
			t.Errorf("the self-test leaves out %s", a.Name)
		}
	}
	digests := map[*Digest]bool{}
	for _, v := range hashAnswers {
		digests[v.digest] = true
	}
	for _, d := range Digests {
		if !digests[d] {
			t.Errorf("the self-test leaves out %s", d.Name)
		}
	}
}

// arithmeticOf tells which code computes on a curve.
func arithmeticOf(p *ParamSet) [3]any {
	return [3]any{p.curve.p.form, p.curve.edwards != nil, p.curve.minus3}
}

// TestSelfTestNotices breaks what the self-test looks at, one thing at a time.
func TestSelfTestNotices(t *testing.T) {
	saved := hashAnswers[0].digest
	hashAnswers[0].digest = GOSTR341194
	err := SelfTest()
	hashAnswers[0].digest = saved
	if err == nil {
		t.Error("a wrong hash goes unnoticed")
	}
	v := signatureAnswers[0]
	for name, bad := range map[string][3]string{
		"key":       {strings.Replace(v.key, v.key[:2], "00", 1), v.digest, v.signature},
		"digest":    {v.key, "00" + v.digest[2:], v.signature},
		"signature": {v.key, v.digest, v.signature[:len(v.signature)-2] + "00"},
		"length":    {v.key, v.digest, v.signature[2:]},
	} {
		if selfTestVerify(v.algorithm, v.params, bad[0], bad[1], bad[2]) == nil {
			t.Errorf("a wrong %s goes unnoticed", name)
		}
	}
	if selfTestSign(v.algorithm, v.params, v.d, v.k, v.digest, v.signature) != nil ||
		selfTestSign(v.algorithm, v.params, v.d, v.k[:62]+"00", v.digest, v.signature) == nil {
		t.Error("a wrong nonce goes unnoticed")
	}
}

func BenchmarkSelfTest(b *testing.B) {
	for b.Loop() {
		if err := SelfTest(); err != nil {
			b.Fatal(err)
		}
	}
}
