package cms

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
)

func TestDecode(t *testing.T) {
	// Lengths of all remainders, so that padding is there and is not.
	message := vectors.Read(t, "smev-messages/made/esia-legacy.p7s")
	for cut := range 3 {
		m := message[:len(message)-cut]
		standard := base64.StdEncoding.EncodeToString(m)
		for name, text := range map[string]string{
			"BER":                   string(m),
			"base64":                standard,
			"base64 in lines":       "\n" + standard[:64] + "\r\n" + standard[64:128] + "\n\t " + standard[128:] + "\n",
			"base64 without pad":    base64.RawStdEncoding.EncodeToString(m),
			"base64url":             base64.URLEncoding.EncodeToString(m),
			"base64url without pad": base64.RawURLEncoding.EncodeToString(m),
			"PEM CMS":               string(pem.EncodeToMemory(&pem.Block{Type: "CMS", Bytes: m})),
			"PEM PKCS7":             string(pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: m})),
		} {
			if got, err := Decode([]byte(text)); err != nil || !bytes.Equal(got, m) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	standard := base64.StdEncoding.EncodeToString(message)
	if !strings.ContainsAny(standard, "+/") {
		t.Fatal("the message does not tell the alphabets apart")
	}
	block := string(pem.EncodeToMemory(&pem.Block{Type: "CMS", Bytes: message}))
	for name, text := range map[string]string{
		"nothing":               "",
		"blank":                 " \n",
		"text":                  "not a message!",
		"mixed alphabets":       standard + "-_-_",
		"too much padding":      standard + "=",
		"another label":         strings.ReplaceAll(block, "CMS", "CERTIFICATE"),
		"two blocks":            block + block,
		"PEM cut short":         block[:100],
		"something after":       block + "x",
		"bits that say nothing": "MB==",
	} {
		_, err := Decode([]byte(text))
		var e *report.Error
		if !errors.As(err, &e) || e.Code != report.CMSSyntax {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
