package trust_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/trust"
)

// Many certificates that could be the issuer and are not take no more memory for being called by long names: only the reason
// that is told is put into words.
func TestLongNames(t *testing.T) {
	name := "CN=Test CA"
	for i := range 100 {
		name += fmt.Sprintf(",OU=%03d%s", i, strings.Repeat("ж", 60))
	}
	key, leaf := testpki.NewCA(t, gost.GOST2012_256, params).NewSigner(t, gost.GOST2012_256, params, testpki.Template{Subject: name})
	issuer := &testpki.CA{Certificate: leaf, Key: key}
	_, signer := issuer.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	var extra []*gost.Certificate
	for range 60 {
		_, other := testpki.NewCA(t, gost.GOST2012_256, params).NewSigner(t, gost.GOST2012_256, params, testpki.Template{Subject: name})
		extra = append(extra, other)
	}
	store := trust.New(certs(testpki.NewCA(t, gost.GOST2012_256, params).Certificate), nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	j := store.Check(signer, extra, time.Now())
	runtime.ReadMemStats(&after)
	if j.Path != nil {
		t.Fatal("a path")
	}
	used := after.TotalAlloc - before.TotalAlloc
	t.Logf("%d octets, %v", used, time.Since(start))
	if used > 2<<20 {
		t.Errorf("%d octets are used", used)
	}
}
