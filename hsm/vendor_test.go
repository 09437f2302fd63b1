package hsm

import (
	"bufio"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

func TestVendorMatch(t *testing.T) {
	info := func(library, manufacturer, model string) p11.TokenInfo {
		return p11.TokenInfo{Manufacturer: manufacturer, Model: model, Library: p11.LibraryInfo{Manufacturer: library}}
	}
	for _, test := range []struct {
		library, manufacturer, model, want string
	}{
		{"SoftHSM", "SoftHSM project", "SoftHSM v2", "softhsm"},
		{"SoftHSM", "SoftHSM project", "SoftHSM v3", "generic"}, // another program until somebody has looked at it
		{"", "aktiv co.", "RUTOKEN ECP 3.0", "rutoken"},
		{"", "Aktiv Co.", "Rutoken S", "generic"},
		{"OpenSC Project", "Aktiv Co.", "Rutoken ECP", "opensc"},
		{"", "Somebody", "[a-", "generic"},
		{"", "a/b", "c/d", "generic"},
	} {
		if got := vendorOf(info(test.library, test.manufacturer, test.model)); got.Name != test.want {
			t.Errorf("%q %q %q: %s, want %s", test.library, test.manufacturer, test.model, got.Name, test.want)
		}
	}
}

func TestVendorsComplete(t *testing.T) {
	seen := map[string]bool{}
	for i, v := range vendors {
		if v.Name == "" || v.Title == "" || seen[v.Name] || VendorNamed(v.Name) != v {
			t.Errorf("%q: no name of its own", v.Name)
		}
		seen[v.Name] = true
		for _, m := range v.Match {
			for _, pattern := range []string{m.Library, m.Manufacturer, m.Model} {
				if _, err := path.Match(pattern, ""); err != nil {
					t.Errorf("%s: pattern %q: %v", v.Name, pattern, err)
				}
			}
			if last := i == len(vendors)-1; (m == Match{}) != last {
				t.Errorf("%s: only the last profile fits everything", v.Name)
			}
		}
		switch {
		case len(v.Match) == 0:
			t.Errorf("%s is never found", v.Name)
		case v.Mechanism256 == 0 && v.Mechanism512 == 0:
			t.Errorf("%s cannot sign", v.Name)
		case v.Sessions < 1 || v.Sessions > maxSessions:
			t.Errorf("%s: %d sessions", v.Name, v.Sessions)
		case v.CallTime <= 0 || v.Pause < 0:
			t.Errorf("%s: times %v, %v", v.Name, v.CallTime, v.Pause)
		case (v.Health != NoHealthCall) != (v.HealthEvery > 0):
			t.Errorf("%s: a health call without an interval, or an interval without the call", v.Name)
		}
		for code, o := range v.codes {
			if o.kind == PINRefused && o.remedy != outcomes[p11.PINIncorrect].remedy {
				t.Errorf("%s: %v: a PIN that was refused has no remedy", v.Name, code)
			}
		}
		for code, o := range outcomes {
			if o.kind == PINRefused {
				if _, ok := v.outcome(code); ok {
					t.Errorf("%s softens %v", v.Name, code)
				}
			}
		}
	}
}

// What tokens and their libraries were seen to say, and the codes they gave.
func TestVendorTraces(t *testing.T) {
	files, err := filepath.Glob("testdata/vendors/*.txt")
	if err != nil || len(files) != len(vendors) {
		t.Fatalf("%d files for %d vendors, %v", len(files), len(vendors), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		v := VendorNamed(name)
		if v == nil {
			t.Errorf("%s is of no vendor", file)
			continue
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		lines, tokens, codes := bufio.NewScanner(f), 0, 0
		for lines.Scan() {
			what, rest, _ := strings.Cut(lines.Text(), " ")
			switch what {
			case "#":
			case "token":
				part := strings.Split(rest, "|")
				for i := range part {
					part[i] = strings.TrimSpace(part[i])
				}
				tokens++
				if got := vendorOf(p11.TokenInfo{Manufacturer: part[1], Model: part[2],
					Library: p11.LibraryInfo{Manufacturer: part[0]}}); got != v {
					t.Errorf("%s: %s is taken for %s", name, rest, got.Name)
				}
			case "code":
				code, text, _ := strings.Cut(rest, " ")
				n, err := strconv.ParseUint(code, 0, 32)
				where, want, ok := strings.Cut(text, "; ")
				if err != nil || !ok || !slices.ContainsFunc(Kinds(), func(k Kind) bool { return k.String() == want }) {
					t.Fatalf("%s: %s", file, lines.Text())
				}
				codes++
				o, ok := v.outcome(p11.Error(n))
				if !ok {
					o = outcomes[p11.Error(n)]
				}
				if o.kind.String() != want {
					t.Errorf("%s: %s (%s) is %v, want %s", name, code, where, o.kind, want)
				}
			default:
				t.Errorf("%s: %s", file, lines.Text())
			}
		}
		f.Close()
		if tokens == 0 || codes == 0 || lines.Err() != nil {
			t.Errorf("%s: %d tokens, %d codes, %v", file, tokens, codes, lines.Err())
		}
	}
}
