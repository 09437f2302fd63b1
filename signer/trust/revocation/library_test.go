package revocation

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// site is a web server of a CA.
type site struct {
	*httptest.Server
	mutex sync.Mutex
	files map[string][]byte
	asked []string
	ocsp  func(request []byte) []byte
}

func newSite(t *testing.T) *site {
	s := &site{files: map[string][]byte{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		s.asked = append(s.asked, r.URL.Path)
		switch data, ok := s.files[r.URL.Path]; {
		case r.Method == http.MethodPost && s.ocsp != nil:
			body, _ := io.ReadAll(r.Body)
			_, _ = w.Write(s.ocsp(body))
		case strings.HasPrefix(r.URL.Path, "/to/"):
			http.Redirect(w, r, strings.TrimPrefix(r.URL.Path, "/to/")+"?"+r.URL.RawQuery, http.StatusFound)
		case ok:
			_, _ = w.Write(data)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) put(path string, data []byte) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.files[path] = data
}

func (s *site) visits() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Clone(s.asked)
}

var quiet = slog.New(slog.DiscardHandler)

func open(t *testing.T, c Config) *Library {
	t.Helper()
	c.Logger = quiet
	l, err := Open(c)
	if err == nil {
		err = l.OpenCache()
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newCA(t *testing.T) *testpki.CA { return testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A") }

func signer(t *testing.T, ca *testpki.CA, extensions ...gost.Extension) *gost.Certificate {
	_, c := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{Extensions: extensions})
	return c
}

// verdict judges a certificate with what the library knows: "valid", "revoked", "unknown" or "broken".
func verdict(t *testing.T, l *Library, ca *testpki.CA, c *gost.Certificate) string {
	t.Helper()
	j := trust.NewStore(trust.Config{
		Certificates: trust.Certificates{Anchors: []*gost.Certificate{ca.Certificate}},
		Policy:       trust.Policy{Revocation: trust.RevocationRequired}, Revocations: l,
	}).Check(c, nil, time.Now())
	out := "valid"
	for _, check := range j.Checks {
		switch {
		case check.Status == report.Passed:
		case check.Code == report.CertRevoked:
			return "revoked"
		case check.Code == report.CertRevocation:
			out = "unknown"
		default:
			return "broken"
		}
	}
	return out
}

func TestFilesAndFolders(t *testing.T) {
	dir, ca := t.TempDir(), newCA(t)
	leaf, bad := signer(t, ca), signer(t, ca)
	path := filepath.Join(dir, "ca.crl")
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ca.crl", ca.NewCRL(t, testpki.CRL{}))
	write("notes.txt", []byte("no CRL"))
	write("broken.crl", []byte("no CRL either"))
	for name, c := range map[string]Config{"file": {Files: []string{path}}, "folder": {Folders: []string{dir}}} {
		write("ca.crl", ca.NewCRL(t, testpki.CRL{}))
		l := open(t, c)
		if v := verdict(t, l, ca, leaf) + verdict(t, l, ca, bad); v != "validvalid" {
			t.Errorf("%s: %s", name, v)
		}
		write("ca.crl", ca.NewCRL(t, testpki.CRL{Number: 2, Revoked: []testpki.Revocation{{Serial: bad.Serial}}}))
		l.rescan()
		if v := verdict(t, l, ca, leaf) + verdict(t, l, ca, bad); v != "validrevoked" {
			t.Errorf("%s, after it has changed: %s", name, v)
		}
	}
	l := open(t, Config{Folders: []string{dir}})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l.rescan()
	if v := verdict(t, l, ca, leaf); v != "unknown" {
		t.Errorf("after it is gone: %s", v)
	}
	if _, err := Open(Config{Files: []string{filepath.Join(dir, "broken.crl")}}); err == nil {
		t.Error("a broken file is accepted")
	}
	if _, err := Open(Config{Folders: []string{filepath.Join(dir, "absent")}}); err == nil {
		t.Error("an absent folder is accepted")
	}
}

// TestFetch: points are tried in turn, the cache outlives the library, and a younger list takes the place of an older one
// only.
func TestFetch(t *testing.T) {
	s, ca, cache := newSite(t), newCA(t), t.TempDir()
	points := testpki.DistributionPoints("ldap://ca.example.ru/crl", "file:///etc/passwd", s.URL+"/absent.crl", s.URL+"/ca.crl")
	leaf := signer(t, ca, points)
	s.put("/ca.crl", ca.NewCRL(t, testpki.CRL{}))
	config := Config{Fetch: true, Cache: cache, PrivateAddresses: true}
	l := open(t, config)
	if v := verdict(t, l, ca, leaf); v != "unknown" || len(s.visits()) > 0 {
		t.Fatalf("before anything was fetched: %s, %v", v, s.visits())
	}
	if err := l.FetchNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := verdict(t, l, ca, leaf); v != "valid" || !slices.Equal(s.visits(), []string{"/absent.crl", "/ca.crl"}) {
		t.Fatalf("after the fetch: %s, %v", v, s.visits())
	}
	if err := l.FetchNow(t.Context()); err != nil || len(s.visits()) != 2 {
		t.Errorf("fetched again at once: %v, %v", err, s.visits())
	}

	// The next start has no network.
	s.Close()
	if v := verdict(t, open(t, config), ca, leaf); v != "valid" {
		t.Errorf("from the cache: %s", v)
	}
	// A damaged cache is not used.
	entries, err := filepath.Glob(filepath.Join(cache, "*.crl"))
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	data, err := os.ReadFile(entries[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(entries[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	if v := verdict(t, open(t, config), ca, leaf); v != "unknown" {
		t.Errorf("from a damaged cache: %s", v)
	}
}

func TestFetchRefuses(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	s := newSite(t)
	leaf := signer(t, ca, testpki.DistributionPoints(s.URL+"/ca.crl"))
	try := func(l *Library) error {
		verdict(t, l, ca, leaf)
		l.mutex.Lock()
		for _, task := range l.tasks {
			task.next = time.Time{}
		}
		l.mutex.Unlock()
		return l.FetchNow(t.Context())
	}
	private := Config{Fetch: true, PrivateAddresses: true}
	l := open(t, private)
	for name, data := range map[string][]byte{
		"garbage": []byte("<html>"), "a foreign list": other.NewCRL(t, testpki.CRL{}), "nothing": {},
	} {
		s.put("/ca.crl", data)
		if err := try(l); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	now := time.Now()
	s.put("/ca.crl", ca.NewCRL(t, testpki.CRL{Number: 2, Revoked: []testpki.Revocation{{Serial: leaf.Serial}}}))
	if err := try(l); err != nil || verdict(t, l, ca, leaf) != "revoked" {
		t.Fatal(err)
	}
	s.put("/ca.crl", ca.NewCRL(t, testpki.CRL{Number: 1, ThisUpdate: now.Add(-time.Hour)}))
	if err := try(l); err == nil || !strings.Contains(err.Error(), "older") || verdict(t, l, ca, leaf) != "revoked" {
		t.Errorf("an older list takes the place of a younger one: %v", err)
	}
	if err := try(open(t, Config{Fetch: true})); err == nil || !strings.Contains(err.Error(), "not a public address") {
		t.Errorf("a private address: %v", err)
	}
	// A redirect leads nowhere else either.
	for to, want := range map[string]string{
		"ftp://ca.example.ru/crl": "not an address of HTTP", "http://169.254.169.254/latest": "never fetched",
		s.URL + "/to/" + s.URL + "/to/" + s.URL + "/to/" + s.URL + "/to/x": "redirects",
	} {
		leaf := signer(t, ca, testpki.DistributionPoints(s.URL+"/to/"+to))
		l := open(t, private)
		verdict(t, l, ca, leaf)
		if err := l.FetchNow(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("redirected to %s: %v", to, err)
		}
	}
	// Nobody follows the addresses of a stranger.
	asked := len(s.visits())
	l = open(t, private)
	if v := verdict(t, l, other, leaf); v != "broken" {
		t.Fatal(v)
	}
	if err := l.FetchNow(t.Context()); err != nil || len(s.visits()) != asked {
		t.Errorf("%v, %v", err, s.visits())
	}
}

// again makes everything that is wanted due, and fetches it.
func again(t *testing.T, l *Library) error {
	l.mutex.Lock()
	for _, task := range l.tasks {
		task.next = time.Time{}
	}
	l.mutex.Unlock()
	return l.FetchNow(t.Context())
}

// TestForgets: who sits between us and a CA cannot have us forget a revocation that we know of.
func TestForgets(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	s := newSite(t)
	leaf := signer(t, ca, testpki.DistributionPoints(s.URL+"/ca.crl"))
	l := open(t, Config{Fetch: true, PrivateAddresses: true})
	s.put("/ca.crl", ca.NewCRL(t, testpki.CRL{Number: 2, Revoked: []testpki.Revocation{{Serial: leaf.Serial}}}))
	verdict(t, l, ca, leaf)
	if err := again(t, l); err != nil || verdict(t, l, ca, leaf) != "revoked" {
		t.Fatal(err)
	}
	for name, c := range map[string]testpki.CRL{
		"a list of CAs":         {Extensions: []gost.Extension{testpki.IssuingPoint("", 2)}},
		"a list of other users": {Extensions: []gost.Extension{testpki.IssuingPoint(s.URL+"/other.crl", 0)}},
		"a delta":               {Base: 2},
	} {
		c.Number, c.ThisUpdate = 3, time.Now()
		s.put("/ca.crl", ca.NewCRL(t, c))
		if err := again(t, l); err == nil || verdict(t, l, ca, leaf) != "revoked" {
			t.Errorf("%s: %v, %s", name, err, verdict(t, l, ca, leaf))
		}
	}
	s.put("/ca.crl", ca.NewCRL(t, testpki.CRL{Number: 4, ThisUpdate: time.Now()}))
	if err := again(t, l); err != nil || verdict(t, l, ca, leaf) != "valid" {
		t.Error(err)
	}

	// OCSP: an answer that nobody has signed, and a replayed one.
	asked := signer(t, ca, gost.Extension{OID: []int{1, 3, 6, 1, 5, 5, 7, 1, 1}, Value: responderAt(s.URL + "/ocsp")})
	var answer []byte
	s.ocsp = func([]byte) []byte { return answer }
	before := ca.NewOCSP(t, testpki.OCSP{Serial: asked.Serial, ThisUpdate: time.Now().Add(-time.Hour)})
	answer = ca.NewOCSP(t, testpki.OCSP{Serial: asked.Serial, RevokedAt: time.Now().Add(-time.Hour)})
	l = open(t, Config{OCSP: true, PrivateAddresses: true})
	verdict(t, l, ca, asked)
	if err := again(t, l); err != nil || verdict(t, l, ca, asked) != "revoked" {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{
		"by somebody else": other.NewOCSP(t, testpki.OCSP{Issuer: ca.Certificate, Serial: asked.Serial, ThisUpdate: time.Now()}),
		"replayed":         before,
	} {
		answer = der
		if err := again(t, l); err == nil || verdict(t, l, ca, asked) != "revoked" {
			t.Errorf("%s: %v, %s", name, err, verdict(t, l, ca, asked))
		}
	}
}

// TestConfiguredAddress: nothing but its use tells who signs the list at an address of the configuration; after that nobody
// else's takes its place until it has ended.
func TestConfiguredAddress(t *testing.T) {
	ca, other := newCA(t), newCA(t) // of one name
	s := newSite(t)
	leaf := signer(t, ca)
	now := time.Now()
	config := Config{Addresses: []string{s.URL + "/ca.crl"}, PrivateAddresses: true, Cache: t.TempDir(),
		Now: func() time.Time { return now }}
	l := open(t, config)
	s.put("/ca.crl", ca.NewCRL(t, testpki.CRL{Revoked: []testpki.Revocation{{Serial: leaf.Serial}}}))
	if err := again(t, l); err != nil || verdict(t, l, ca, leaf) != "revoked" {
		t.Fatal(err)
	}
	s.put("/ca.crl", other.NewCRL(t, testpki.CRL{ThisUpdate: time.Now()}))
	if err := again(t, l); err == nil || verdict(t, l, ca, leaf) != "revoked" {
		t.Errorf("a stranger's list: %v, %s", err, verdict(t, l, ca, leaf))
	}
	s.put("/ca.crl", ca.NewCRL(t, testpki.CRL{Number: 2, ThisUpdate: time.Now(), Revoked: []testpki.Revocation{{Serial: leaf.Serial}}}))
	if err := again(t, l); err != nil || verdict(t, open(t, config), ca, leaf) != "revoked" {
		t.Errorf("a younger list, from the cache: %v", err)
	}
	now = now.AddDate(0, 0, 2) // the CA has another key now
	stranger := signer(t, other)
	s.put("/ca.crl", other.NewCRL(t,
		testpki.CRL{ThisUpdate: time.Now().Add(time.Second), Revoked: []testpki.Revocation{{Serial: stranger.Serial}}}))
	if err := again(t, l); err != nil || verdict(t, l, other, stranger) != "revoked" {
		t.Errorf("after the end: %v", err)
	}
}

// TestSharedAddress: a CA that names the address of another does not take the other's lists away.
func TestSharedAddress(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	s := newSite(t)
	point := testpki.DistributionPoints(s.URL + "/ca.crl")
	squatter, leaf := signer(t, other, point), signer(t, ca, point)
	s.put("/ca.crl", ca.NewCRL(t, testpki.CRL{Revoked: []testpki.Revocation{{Serial: leaf.Serial}}}))
	cache := t.TempDir()
	l := open(t, Config{Fetch: true, PrivateAddresses: true, Cache: cache})
	verdict(t, l, other, squatter)
	_ = again(t, l) // which cannot have a list of the other
	verdict(t, l, ca, leaf)
	_ = again(t, l)
	if v := verdict(t, l, ca, leaf); v != "revoked" {
		t.Error(v)
	}
	l = open(t, Config{Fetch: true, PrivateAddresses: true, Cache: cache})
	if v := verdict(t, l, ca, leaf); v != "revoked" {
		t.Errorf("from the cache: %s", v)
	}
}

func TestAllowed(t *testing.T) {
	for address, want := range map[string][2]bool{ // with private addresses refused, allowed
		"8.8.8.8": {true, true}, "2a00:1450::1": {true, true}, "127.0.0.1": {false, true}, "::1": {false, true},
		"10.1.2.3": {false, true}, "192.168.0.1": {false, true}, "172.16.0.1": {false, true}, "fd00::1": {false, true},
		"100.64.0.1": {false, true}, "169.254.169.254": {false, false}, "fe80::1%eth0": {false, false}, "::ffff:127.0.0.1": {false, true},
		"::ffff:169.254.169.254": {false, false}, "0.0.0.0": {false, false}, "224.0.0.1": {false, false}, "64:ff9b::7f00:1": {false, true},
		"2002:7f00:1::": {false, true}, "::": {false, false},
		"64:ff9b::a9fe:a9fe": {false, false}, "2002:a9fe:a9fe::": {false, false},
	} {
		for i, private := range []bool{false, true} {
			if err := allowed(netip.MustParseAddr(address), private); (err == nil) != want[i] {
				t.Errorf("%s, private %v: %v", address, private, err)
			}
		}
	}
}

// TestOCSP: the first question waits, a nonce of another question is refused.
func TestOCSP(t *testing.T) {
	s, ca := newSite(t), newCA(t)
	access := gost.Extension{OID: []int{1, 3, 6, 1, 5, 5, 7, 1, 1}, Value: responderAt(s.URL + "/ocsp")}
	good, bad := signer(t, ca, access), signer(t, ca, access)
	revoked := false
	var nonce []byte
	s.ocsp = func(request []byte) []byte {
		o := testpki.OCSP{Serial: good.Serial, Nonce: nonce}
		if revoked {
			o.Serial, o.RevokedAt = bad.Serial, time.Now().Add(-time.Hour)
		}
		return ca.NewOCSP(t, o)
	}
	l := open(t, Config{OCSP: true, PrivateAddresses: true, Wait: 30 * time.Second})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	if v := verdict(t, l, ca, good); v != "valid" {
		t.Error(v)
	}
	s.mutex.Lock()
	revoked = true
	s.mutex.Unlock()
	if v := verdict(t, l, ca, bad); v != "revoked" {
		t.Error(v)
	}
	s.mutex.Lock()
	nonce = []byte("another nonce")
	s.mutex.Unlock()
	third := signer(t, ca, access)
	if v := verdict(t, l, ca, third); v != "unknown" {
		t.Error(v)
	}
	cancel()
	<-done
	if got := s.visits(); len(got) != 3 {
		t.Errorf("asked %v", got)
	}
}

func TestRenewal(t *testing.T) {
	l := &Library{config: Config{Every: 12 * time.Hour}}
	now := time.Now()
	for range 100 {
		if d := l.renewal(now, now, now.Add(10*time.Hour)); d < 8*time.Hour || d > 9*time.Hour {
			t.Errorf("a list of 10 hours is renewed after %v", d)
		}
		if d := l.renewal(now, now, now.AddDate(0, 0, 30)); d != 12*time.Hour {
			t.Errorf("a list of 30 days is renewed after %v", d)
		}
		if d := l.renewal(now, now.Add(-2*time.Hour), now.Add(-time.Hour)); d != shortest {
			t.Errorf("a list that has ended is renewed after %v", d)
		}
		for n, most := range []time.Duration{firstRetry, 2 * firstRetry, 4 * firstRetry} {
			if d := backoff(n); d > most || d < most*8/10 {
				t.Errorf("after %d failures: %v", n, d)
			}
		}
		if d := backoff(1000); d > lastRetry {
			t.Errorf("after many failures: %v", d)
		}
	}
}

func FuzzNote(f *testing.F) {
	f.Add([]byte(`{"addresses": ["http://ca.example.ru/1.crl"], "source": "x", "streebog256": "00"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "1.json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if l := open(t, Config{Cache: dir, Fetch: true}); len(l.tasks) > 0 {
			t.Error("a note under another name is used")
		}
	})
}

// responderAt is authorityInfoAccess with one OCSP responder.
func responderAt(address string) []byte {
	name := append([]byte{0x86, byte(len(address))}, address...)
	method := []byte{0x06, 8, 0x2B, 6, 1, 5, 5, 7, 0x30, 1}
	one := append([]byte{0x30, byte(len(method) + len(name))}, append(method, name...)...)
	return append([]byte{0x30, byte(len(one))}, one...)
}
