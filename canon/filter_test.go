package canon

import (
	"errors"
	"strings"
	"testing"
)

func TestOmitsSignatures(t *testing.T) {
	lookup := func(prefix string) string {
		if prefix == "ds" || prefix == "d" {
			return dsigURI
		}
		return "urn:other"
	}
	for _, test := range []struct {
		uri, filter, expression string
		want                    bool
	}{
		{XPathURI, "", "not(ancestor-or-self::ds:Signature)", true},
		{XPathURI, "", "\n  not ( ancestor-or-self :: d:Signature )  ", true},
		{XPathURI, "", "not(ancestor-or-self::x:Signature)", false},
		{XPathURI, "", "not(ancestor-or-self::Signature)", false},
		{XPathURI, "", "not(ancestor-or-self::ds:Signature", false},
		{XPathURI, "", "not(ancestor::ds:Signature)", false},
		{XPathURI, "", "not(ancestor-or-self::ds:Signature) or true()", false},
		{XPathURI, "", "ancestor-or-self::ds:Signature", false},
		{XPathURI, "", "", false},
		{Filter2URI, "subtract", "//ds:Signature", true},
		{Filter2URI, "subtract", " //  ds:Signature\n", true},
		{Filter2URI, "intersect", "//ds:Signature", false},
		{Filter2URI, "union", "//ds:Signature", false},
		{Filter2URI, "subtract", "/ds:Signature", false},
		{Filter2URI, "subtract", "//x:Signature", false},
		{Filter2URI, "subtract", "//ds:Signature[1]", false},
		{Filter2URI, "subtract", "//ds:Signature | //x", false},
		{Filter2URI, "", "not(ancestor-or-self::ds:Signature)", false},
		{EnvelopedURI, "subtract", "//ds:Signature", false},
	} {
		if got := OmitsSignatures(test.uri, test.filter, test.expression, lookup); got != test.want {
			t.Errorf("%s %q %q: %t", test.uri, test.filter, test.expression, got)
		}
	}
}

func TestFilter2(t *testing.T) {
	const doc = `<a xmlns:d="` + dsigURI + `">x<d:Signature><b/></d:Signature>y</a>`
	got, err := apply([]byte(doc), Node{Whole: true}, Transform{URI: Filter2URI, OmitSignatures: true}, Transform{URI: ExclusiveURI})
	if err != nil || string(got) != "<a>xy</a>" {
		t.Errorf("%q, %v", got, err)
	}
	_, err = apply([]byte(doc), Node{Whole: true}, Transform{URI: Filter2URI})
	var refusal *TransformError
	if !errors.As(err, &refusal) || refusal.URI != Filter2URI || !strings.Contains(refusal.Message, "subtraction") {
		t.Errorf("error %v, want a refusal", err)
	}
}

func TestBase64(t *testing.T) {
	b64, exclusive := Transform{URI: Base64URI}, Transform{URI: ExclusiveURI}
	for _, test := range []struct {
		doc   string
		chain []Transform
		want  string // or an error that starts with "transform"
	}{
		{"<a>SGVs<!--no-->bG8<b>g\r\n</b>d29y<?no?><![CDATA[bGQ=]]>\n</a>", []Transform{b64}, "Hello world"},
		{"<a/>", []Transform{b64}, ""},
		{"<a>AAE=</a>", []Transform{b64}, "\x00\x01"},
		{"<a>/+8=</a>", []Transform{b64}, "\xFF\xEF"},
		{"<a>PGEgIC8+</a>", []Transform{b64, exclusive}, "<a></a>"},
		{"<a>UEdFZ0lDOCs=</a>", []Transform{b64, b64, exclusive}, "<a></a>"},
		{"<a>QQ==</a>", []Transform{{URI: XPathURI, OmitSignatures: true}, b64}, "A"},
		{"<a>QQ==<s:Signature xmlns:s='" + dsigURI + "'>!</s:Signature></a>",
			[]Transform{{URI: Filter2URI, OmitSignatures: true}, b64}, "A"},
		{"<a>QUI=</a>", []Transform{exclusive, b64}, "transform " + Base64URI + ": octet 3C in base64 data"},
		{"<a>QUI=</a>", []Transform{exclusive, {URI: XPathURI, OmitSignatures: true}, b64}, "AB"},
		{"<a>QQ</a>", []Transform{b64}, "transform " + Base64URI + ": base64 data ends inside a group"},
		{"<a>QQ=</a>", []Transform{b64}, "transform " + Base64URI + ": base64 data ends inside a group"},
		{"<a>Q===</a>", []Transform{b64}, "transform " + Base64URI + ": octet 3D in base64 data"},
		{"<a>QQ=A</a>", []Transform{b64}, "transform " + Base64URI + ": something between"},
		{"<a>QQ==QQ==</a>", []Transform{b64}, "transform " + Base64URI + ": something after the end"},
		{"<a>QR==</a>", []Transform{b64}, "transform " + Base64URI + ": bits left over"},
		{"<a>QUJ=</a>", []Transform{b64}, "transform " + Base64URI + ": bits left over"},
		{"<a>Q-_=</a>", []Transform{b64}, "transform " + Base64URI + ": octet 2D in base64 data"},
		{"<a>QQ==</a>", []Transform{b64, exclusive}, "transform " + ExclusiveURI + ": output of the transform before it"},
	} {
		got, err := apply([]byte(test.doc), Node{Whole: true}, test.chain...)
		if strings.HasPrefix(test.want, "transform") {
			var refusal *TransformError
			if !errors.As(err, &refusal) || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("%s: error %v, want %s", test.doc, err, test.want)
			}
			continue
		}
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %q, %v, want %q", test.doc, got, err, test.want)
		}
	}
}
