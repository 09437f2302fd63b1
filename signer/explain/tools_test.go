package explain

import (
	"bytes"
	"context"
	"encoding/asn1"
	"math/big"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// iconv converts with the system's converter.
func iconv(t testing.TB, text, charset string) string {
	t.Helper()
	if _, err := exec.LookPath("iconv"); err != nil {
		oracle.Missing(t, "iconv")
	}
	cmd := exec.Command("iconv", "-f", "UTF-8", "-t", charset)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// canonicalOf has xmllint format a document and takes the declaration and the last line feed away.
func canonicalOf(t testing.TB, doc, mode string) string {
	t.Helper()
	out := canonical(t, doc, mode)
	_, out, _ = strings.Cut(out, "?>\n")
	return strings.TrimSuffix(out, "\n")
}

// opensslDigest is a digest by OpenSSL.
func opensslDigest(t testing.TB, name string, octets []byte) []byte {
	t.Helper()
	out, err := oracle.OpenSSL(t, octets, "dgst", "-"+name, "-binary")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// smevOf is the SMEV transform of canonical XML; the vectors of package canon hold it against others.
func smevOf(t testing.TB, octets string) string {
	t.Helper()
	var out bytes.Buffer
	err := canon.Apply(&out, []byte(octets), canon.Node{Whole: true},
		[]canon.Transform{{URI: canon.ExclusiveURI}, {URI: canon.SMEVURI}}, xmltext.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// sequence is SEQUENCE { INTEGER r, INTEGER s } of s ‖ r.
func sequence(value []byte) []byte {
	n := len(value) / 2
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(value[n:]), new(big.Int).SetBytes(value[:n])})
	if err != nil {
		panic(err)
	}
	return der
}

var (
	policyNone = xmldsig.Policy{}
	noLimits   = xmltext.Limits{}
)

func contextWithin(t testing.TB, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}
