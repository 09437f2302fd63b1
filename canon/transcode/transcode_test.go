package transcode

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/internal/oracle"
)

const text = "Привет, «мир» № 5"

// iconv converts from UTF-8.
func iconv(t *testing.T, to, doc string) []byte {
	t.Helper()
	path, err := exec.LookPath("iconv")
	if err != nil {
		oracle.Missing(t, "iconv")
	}
	cmd := exec.Command(path, "-f", "UTF-8", "-t", to)
	cmd.Stdin = strings.NewReader(doc)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestToUTF8(t *testing.T) {
	for name, words := range map[string]string{
		"windows-1251": text, "WINDOWS-1251": text, "KOI8-R": "Привет", "ISO-8859-5": "Привет № 5", "IBM866": "Привет № 5",
		"ISO-8859-1": "café", "UTF-16": text + " 😀", "UTF-16BE": text, "UTF-16LE": text,
	} {
		said, mark := name, ""
		if said == "UTF-16BE" || said == "UTF-16LE" {
			said, mark = "UTF-16", "\uFEFF"
		}
		for _, quote := range []string{`"`, `'`} {
			source := "<?xml version='1.0' encoding = " + quote + said + quote + " ?>\r\n<a b='" + words + "'/>"
			out, from, err := ToUTF8(iconv(t, name, mark+source))
			want := strings.Replace(source, said, "UTF-8", 1)
			if err != nil || string(out) != want || !strings.EqualFold(from, said) {
				t.Errorf("%s: %q from %q, %v", name, out, from, err)
			}
			tok := xmltext.NewTokenizer(out, xmltext.Limits{})
			for {
				kind, err := tok.Next()
				if err != nil {
					t.Fatal(name, err)
				}
				if kind == xmltext.EOF {
					break
				}
			}
		}
	}
	for _, same := range []string{"", "<a/>", "\uFEFF<a/>", `<?xml version="1.0"?><a/>`,
		`<?xml version="1.0" encoding="utf-8"?><a>` + text + "</a>",
		`<a encoding="windows-1251"/>`} {
		if out, from, err := ToUTF8([]byte(same)); err != nil || string(out) != same || from != "UTF-8" {
			t.Errorf("%q: %q from %q, %v", same, out, from, err)
		}
	}
}

func TestRefuses(t *testing.T) {
	for doc, want := range map[string]string{
		`<?xml version="1.0" encoding="EBCDIC-CP-BE"?><a/>`:            "not known",
		`<?xml version="1.0" encoding="UTF-16"?><a/>`:                  "byte order mark",
		"<?xml version=\"1.0\" encoding=\"windows-1251\"?><a>\x98</a>": "offset 48",
		"\xFE\xFF\x00":               "odd number",
		"\xFF\xFE<\x00\x00\xD8":      "surrogate",
		"\xFF\xFE<\x00\x00\xD8a\x00": "surrogate",
		"\xFE\xFF\x00<\xDC\x00\x00a": "surrogate",
		`<?xml version="1.0" encoding="x-unknown"?><a>secret</a>`: "not known",
	} {
		out, _, err := ToUTF8([]byte(doc))
		if out != nil || err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %q, %v", doc, out, err)
		}
	}
}

func FuzzToUTF8(f *testing.F) {
	f.Add([]byte(`<?xml version="1.0" encoding="windows-1251"?><a>` + "\xcf\xf0" + `</a>`))
	f.Add([]byte("\xFF\xFE<\x00a\x00/\x00>\x00"))
	f.Add([]byte("<?xml encoding='koi8-r'?>"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		out, from, err := ToUTF8(doc)
		if err != nil {
			return
		}
		if len(out) > 3*len(doc)+8 {
			t.Errorf("%d octets of %d", len(out), len(doc))
		}
		again, to, err := ToUTF8(out)
		if err != nil || to != "UTF-8" || !bytes.Equal(again, out) {
			t.Errorf("%q from %q becomes %q from %q, %v", out, from, again, to, err)
		}
	})
}
