package signer

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// softKey is a Key in software.
type softKey struct {
	name  string
	key   *gost.PrivateKey
	cert  *gost.Certificate
	fail  error // what the token says instead of signing
	away  error // what is known of it
	count int
	flow  Flow    // of the last signature
	took  Timings // what it says that each took
}

func (k *softKey) Name() string                   { return k.name }
func (k *softKey) Public() *gost.PublicKey        { return k.key.Public().(*gost.PublicKey) }
func (k *softKey) Certificate() *gost.Certificate { return k.cert }
func (k *softKey) Chain() []*gost.Certificate     { return nil }
func (k *softKey) Available() error               { return k.away }
func (k *softKey) SignDigest(ctx context.Context, digest []byte, flow Flow) (gost.Verified, error) {
	if flow.Took != nil {
		*flow.Took = k.took
	}
	k.flow = flow
	k.flow.Took = nil // the service's
	k.count++
	if k.fail != nil {
		return gost.Verified{}, k.fail
	}
	if err := ctx.Err(); err != nil {
		return gost.Verified{}, err
	}
	return testpki.Sign(k.key, digest)
}

type softRing []*softKey

func (r softRing) Key(name string) (Key, error) {
	for i := len(r) - 1; i >= 0; i-- { // the last version is the primary
		if r[i].name == name || strings.HasPrefix(r[i].name, name+"/versions/") {
			return r[i], nil
		}
	}
	return nil, report.Errorf(report.KeyUnknown, report.Place{}, "no key %s", name)
}

func (r softRing) Keys() []Key {
	var out []Key
	for _, k := range r {
		out = append(out, k)
	}
	return out
}

// world is a service with keys of all conditions, and a log.
type world struct {
	*Service
	ring  softRing
	ca    *testpki.CA
	log   *bytes.Buffer
	admin *Caller // may do everything
}

// party is a client with one role that nobody else has.
type party struct {
	name, san string
	grants    []Grant
	quota     Quota
}

func accessOf(t *testing.T, parties ...party) *Access {
	t.Helper()
	var roles []Role
	var clients []Client
	for _, p := range parties {
		roles = append(roles, Role{Name: p.name, Grants: p.grants, Quota: p.quota})
		clients = append(clients, Client{Name: p.name, SANs: []string{p.san}, Roles: []string{p.name}})
	}
	a, err := NewAccess(roles, clients)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newWorld(t *testing.T, parties ...party) *world {
	t.Helper()
	w := &world{ca: testpki.NewCA(t, gost.GOST2012_256, "tc26-256-B"), log: &bytes.Buffer{}}
	add := func(name string, a *gost.Algorithm, params string, template testpki.Template) *softKey {
		key, cert := w.ca.NewSigner(t, a, params, template)
		k := &softKey{name: name, key: key, cert: cert}
		w.ring = append(w.ring, k)
		return k
	}
	long := time.Now().AddDate(-2, 0, 0)
	add("keys/EXMP01/ov/versions/1", gost.GOST2012_256, "tc26-256-B", testpki.Template{})
	add("keys/EXMP01/ov/versions/2", gost.GOST2012_256, "tc26-256-B", testpki.Template{})
	add("keys/EXMP01/big/versions/1", gost.GOST2012_512, "tc26-512-A", testpki.Template{})
	add("keys/EXMP01/bare/versions/1", gost.GOST2012_256, "tc26-256-B", testpki.Template{}).cert = nil
	add("keys/EXMP01/old/versions/1", gost.GOST2012_256, "tc26-256-B",
		testpki.Template{NotBefore: long, NotAfter: long.AddDate(1, 0, 0)})
	add("keys/EXMP01/early/versions/1", gost.GOST2012_256, "tc26-256-B",
		testpki.Template{NotBefore: time.Now().AddDate(1, 0, 0), NotAfter: time.Now().AddDate(2, 0, 0)})
	add("keys/EXMP01/tls/versions/1", gost.GOST2012_256, "tc26-256-B", testpki.Template{KeyUsage: gost.UsageKeyAgreement})
	add("keys/EXMP01/past/versions/1", gost.GOST2001, "CryptoPro-A", testpki.Template{})
	add("keys/OTHER1/ov/versions/1", gost.GOST2012_256, "tc26-256-B", testpki.Template{})

	parties = append(parties, party{name: "admin", san: "admin.example.ru",
		grants: []Grant{{Keys: []string{"keys/*"}, Operations: Operations}}})
	var err error
	w.Service, err = New(Config{
		Keys: w.ring, Access: accessOf(t, parties...), Trust: trust.New([]*gost.Certificate{w.ca.Certificate}, nil),
		Limits: Limits{MessageBytes: 1 << 20},
		Logger: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.admin = w.caller(t, "admin.example.ru")
	return w
}

func (w *world) caller(t *testing.T, san string) *Caller {
	t.Helper()
	c, err := w.Access().Caller([]string{san})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func unsigned() []byte {
	return []byte(`<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body>` +
		`<t:AckRequest xmlns:t="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" ` +
		`xmlns:b="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2">` +
		`<b:AckTargetMessage Id="SIGNED_BY_CALLER" accepted="true">8c1c0a10-f1ee-11f0-8a5e-0242ac120002</b:AckTargetMessage>` +
		`</t:AckRequest></S:Body></S:Envelope>`)
}

// code is the error's code, or what it is instead.
func code(err error) string {
	if err == nil {
		return "ok"
	}
	if e, ok := errors.AsType[*report.Error](err); ok {
		return string(e.Code)
	}
	return "not a *report.Error: " + err.Error()
}
