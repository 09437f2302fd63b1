package cms

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"

	"github.com/epov-signer/epov/signer/report"
)

// Decode removes what a message may be wrapped in: PEM with the label CMS or PKCS7, or base64, plain or base64url, with or
// without padding and line breaks. BER comes back unchanged; the first octets tell the forms apart. [Verify] does not do
// this by itself, since a wrapping that nobody expects is a mistake. Errors are *report.Error.
func Decode(data []byte) ([]byte, error) {
	if len(data) > 0 && data[0] == tagSequence {
		return data, nil
	}
	text := bytes.TrimSpace(data)
	if bytes.HasPrefix(text, []byte("-----BEGIN ")) {
		block, rest := pem.Decode(text)
		switch {
		case block == nil:
			return nil, malformed(0, "the PEM text cannot be read")
		case block.Type != "CMS" && block.Type != "PKCS7":
			return nil, malformed(0, "the PEM label is neither CMS nor PKCS7")
		case len(bytes.TrimSpace(rest)) > 0:
			return nil, malformed(0, "there is something after the PEM text")
		}
		return block.Bytes, nil
	}
	if len(text) == 0 {
		return nil, malformed(0, "the message is empty")
	}
	message, err := decodeBase64(text)
	if err != nil {
		return nil, &report.Error{Code: report.CMSSyntax, Message: "the message is neither BER nor PEM nor base64", Err: err}
	}
	return message, nil
}

// decodeBase64 takes one of the two alphabets of RFC 4648; no text may mix them.
func decodeBase64(text []byte) ([]byte, error) {
	text = bytes.Join(bytes.Fields(text), nil)
	encoding := base64.StdEncoding
	if bytes.ContainsAny(text, "-_") {
		encoding = base64.URLEncoding
	}
	if text[len(text)-1] != '=' && len(text)%4 != 0 {
		encoding = encoding.WithPadding(base64.NoPadding)
	}
	message := make([]byte, encoding.DecodedLen(len(text)))
	n, err := encoding.Strict().Decode(message, text)
	return message[:n], err
}
