package gost_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/epov-signer/epov/gost"
)

func TestParseName(t *testing.T) {
	for _, tc := range []struct{ name, in, out, hex string }{
		{"order and types", "CN=Портал,C=RU", "CN=Портал,C=RU",
			"3024" + "310b" + "3009" + "0603550406" + "13025255" + "3115" + "3013" + "0603550403" + "0c0cd09fd0bed180d182d0b0d0bb"},
		{"Russian numbers", "OGRN=1047702026701,INNLE=7710474375,INN=007710474375,SNILS=01234567890,OGRNIP=304500116000157",
			"1.2.643.100.1=1047702026701,1.2.643.100.4=7710474375,1.2.643.3.131.1.1=007710474375," +
				"1.2.643.100.3=01234567890,1.2.643.100.5=304500116000157", ""},
		{"Cyrillic aliases", "ОГРН=1047702026701,ИНН=007710474375", "1.2.643.100.1=1047702026701,1.2.643.3.131.1.1=007710474375", ""},
		{"numbers of attributes", "2.5.4.3=a, OID.1.2.643.100.1=1047702026701 ;2.25.5=b", "CN=a,1.2.643.100.1=1047702026701,2.25.5=b", ""},
		{"case and aliases", "cn=a,s=b,G=c,E=d@e.example,street=f,T=g,serialnumber=h",
			"CN=a,ST=b,GN=c,emailAddress=d@e.example,STREET=f,T=g,serialNumber=h", ""},
		{"several values", "CN=a+OU=b,O=c", "CN=a+OU=b,O=c", ""},
		{"escapes", `CN=\ a\,\+\"\\\<\>\;\=\#\ `, `CN=\ a\,\+\"\\\<\>\;=#\ `, ""},
		{"hexadecimal pairs", `CN=\d0\9f\00`, `CN=П\00`, ""},
		{"leading hash", `CN=\#5`, `CN=\#5`, ""},
		{"quoted", `O="ООО ""АРГОС"", \"x\""`, `O=ООО \"АРГОС\"\, \"x\"`, ""},
		{"spaces around", "  CN =  a b  , O = c ", "CN=a b,O=c", ""},
		{"DER value", "CN=#0c0141,2.5.4.13=#0201ff", "CN=A,2.5.4.13=#0201ff", ""},
		{"equals sign", "CN=a=b", "CN=a=b", ""},
		{"empty", "", "", "3000"},
		{"bytes", "C=RU,1.2.643.100.1=1234567890123", "C=RU,1.2.643.100.1=1234567890123",
			"3027" + "3118" + "3016" + "06052a85036401" + "120d31323334353637383930313233" + "310b" + "3009" + "0603550406" + "13025255"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, err := gost.ParseName(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if n.String() != tc.out {
				t.Errorf("%s, want %s", n, tc.out)
			}
			if tc.hex != "" && hex.EncodeToString(n) != tc.hex {
				t.Errorf("%x, want %s", []byte(n), tc.hex)
			}
			if again, err := gost.ParseName(n.String()); err != nil || !again.Equal(n) {
				t.Errorf("does not come back: %x, %v", []byte(again), err)
			}
			if !n.MatchesString(tc.in) || !n.MatchesString(tc.out) {
				t.Error("does not match its own string")
			}
		})
	}
}

func TestParseNameRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"CN":                                  "not an attribute",
		"XYZ=a":                               "no known attribute",
		"1.2.=a":                              "no known attribute",
		"3.1=a":                               "no known attribute",
		"1.40=a":                              "no known attribute",
		"1.02.3=a":                            "no known attribute",
		"=a":                                  "no known attribute",
		"CN=":                                 "CN is empty",
		"CN=a,":                               "not an attribute",
		"CN=a++OU=b":                          "no known attribute",
		"C=RUS":                               "two letters",
		"C=Р1":                                "two letters",
		"OGRN=104770202670":                   "OGRN must have exactly 13 digits",
		"OGRN=104770202670x":                  "OGRN must have exactly 13 digits",
		"OGRNIP=1":                            "15 digits",
		"SNILS=123-456-789 01":                "11 digits",
		"INN=7710474375":                      "12 digits",
		"INNLE=007710474375":                  "10 digits",
		"E=почта@example":                     "ASCII",
		"serialNumber=a_b":                    "PrintableString",
		`CN=a"b`:                              "must be escaped",
		`CN=a\`:                               "special character",
		`CN=a\zz`:                             "special character",
		`CN="a`:                               "closing quotation mark",
		`CN="a"b`:                             "follows the closing",
		`CN=\ff`:                              "not UTF-8",
		"CN=#0c02":                            "DER element",
		"CN=#xy":                              "DER element",
		"CN=" + strings.Repeat("x", 1025):     "1024",
		"CN=" + strings.Repeat("x", 17000):    "longer",
		"CN=a" + strings.Repeat("+CN=a", 128): "more than 128",
	} {
		if _, err := gost.ParseName(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", in, err, want)
		}
	}
}

func TestNameStringTypes(t *testing.T) {
	// CN as BMPString, TeletexString (ASCII and not), UniversalString, an INTEGER; O as UTF8String that is none.
	name := func(value string) gost.Name {
		der, err := hex.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		atv := append([]byte{0x06, 3, 0x55, 4, 3}, der...)
		wrap := func(tag byte, in []byte) []byte { return append([]byte{tag, byte(len(in))}, in...) }
		return wrap(0x30, wrap(0x31, wrap(0x30, atv)))
	}
	for value, want := range map[string]string{
		"1e04041f0430":     "CN=Па",
		"1e03041f04":       "CN=#1e03041f04",
		"1e02d800":         "CN=#1e02d800",
		"14026162":         "CN=ab",
		"1402cfe0":         "CN=#1402cfe0",
		"1c040000041f":     "CN=П",
		"1c0400110000":     "CN=#1c0400110000",
		"020105":           "CN=#020105",
		"0c02d0c0":         "CN=#0c02d0c0",
		"0c03e280ae":       `CN=\e2\80\ae`, // a right-to-left override must not disguise a name
		"12026162":         "CN=ab",
		"0c060a61c2a06220": `CN=\0aa\c2\a0b\ `,
	} {
		n := name(value)
		if n.String() != want {
			t.Errorf("%s: %s, want %s", value, n, want)
		}
		if !n.MatchesString(want) {
			t.Errorf("%s: %s does not match it", value, want)
		}
	}
	if s := gost.Name("x").String(); s != "#78" {
		t.Errorf("no name at all: %s", s)
	}
}

func TestMatchesString(t *testing.T) {
	n, err := gost.ParseName(`CN=УЦ \"Пример\",O=ООО Пример\, филиал,E=ca@example.test,OGRN=1047702026701,C=RU`)
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]bool{
		`CN="УЦ ""Пример""", O="ООО Пример, филиал", E=ca@example.test, ОГРН=1047702026701, C=RU`: true, // Windows
		`C=RU,1.2.643.100.1=#120d31303437373032303236373031,1.2.840.113549.1.9.1=#160f6361406578616d706c652e74657374,` +
			`O=ООО Пример\, филиал,CN=УЦ \"Пример\"`: true, // reversed, hexadecimal
		`OGRN=1047702026701,C=RU`: false,
		`CN=УЦ \"Пример\",O=ООО Пример\, филиал,E=ca@example.test,OGRN=1047702026702,C=RU`:      false,
		`CN=УЦ \"Пример\",O=ООО Пример\, филиал,OGRN=1047702026701,E=ca@example.test,C=RU`:      false, // neither order
		`cn=уц \"пример\",o=ООО  Пример\, филиал,email=CA@example.test,OGRN=1047702026701,C=ru`: true,
		`nonsense`: false,
		``:         false,
	} {
		if got := n.MatchesString(s); got != want {
			t.Errorf("%s: %v", s, got)
		}
	}
	multi, err := gost.ParseName("CN=a+OU=b,O=c")
	if err != nil {
		t.Fatal(err)
	}
	if !multi.MatchesString("O=c,OU=b+CN=a") || multi.MatchesString("CN=a,OU=b,O=c") {
		t.Error("several values in one RDN")
	}
}

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"CN=Портал,OGRN=1047702026701,C=RU", `O="a ""b""",CN=\ a\,#`, "CN=a+OU=b;2.5.4.3=#0c0141", `CN=\d0\9f\00`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := gost.ParseName(s)
		if err != nil {
			return
		}
		if !n.MatchesString(s) {
			t.Errorf("%q does not match its own name %s", s, n)
		}
		text := n.String()
		if len(text) > 16<<10 { // escapes may lengthen it beyond the limit
			return
		}
		if !n.MatchesString(text) {
			t.Errorf("%q does not match its own name", text)
		}
		// A value given in DER may be of a type or form that ParseName would not choose; then one step settles it.
		if again, err := gost.ParseName(text); err == nil && again.String() != text {
			t.Errorf("%q became %q", text, again.String())
		} else if err != nil && !strings.Contains(s, "#") {
			t.Errorf("%q: %v", text, err)
		}
	})
}
