package daemon

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/epov-signer/epov/api"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/sandbox"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/trust"
)

// Config is a configuration that has been checked, as far as that can be done without touching a token.
type Config struct {
	file        string
	dir         string // relative paths start here
	listen      string
	insecure    bool
	tls         *tlsConfig // nil exactly when insecure
	tokens      []hsm.TokenConfig
	keys        []keyConfig
	states      string // path of the file with the states of key versions; empty: none
	policy      *Policy
	trust       *trust.Store
	smev        *trust.Store
	trusted     trustConfig
	timeStamps  signer.TimeStamper // nil: profiles with time-stamps are refused
	stamping    stampingConfig
	audit       auditConfig
	bounds      signer.Limits
	requestIDs  signer.RequestIDs
	limits      api.Limits
	reflection  bool
	admin       adminConfig
	metrics     metricsConfig
	traces      tracesConfig
	sandbox     sandboxConfig
	confined    sandbox.Report // what Confine has done; nil: nothing yet
	connections int            // at once, 0: default
	times       timesConfig
	log         logConfig
	logger      *logHandlers // of the log that Logger made; nil: none was

	root    value                // the document
	running bool                 // it is read again
	opened  []hsm.TokenConfig    // tokens that are open: what opening them took need not be there any more
	files   map[string]fileStamp // what was read, as it was before that; nil: not wanted
}

type tlsConfig struct {
	certificate tls.Certificate // PrivateKey nil when the key is on a token
	file        string          // of the key, when it is in one
	token, id   string          // where the key is, when it is on a token
	clientCAs   *x509.CertPool
	adminCAs    *x509.CertPool      // of the administration's callers; nil: clientCAs
	authorities []*x509.Certificate // in clientCAs
	place       value
}

// keyConfig is one version of a key.
type keyConfig struct {
	name        signer.KeyName
	primary     bool
	state       keyState
	replicas    []hsm.KeyRef
	certificate *gost.Certificate // nil: the one on the token
	chain       []*gost.Certificate
	place       value
}

// maxConfig bounds the configuration and every file that it names.
const maxConfig = 4 << 20

// Load reads and checks a configuration file. The error is a *ConfigError with everything that is wrong.
func Load(file string) (*Config, error) {
	c, root, err := openConfig(file)
	if err != nil {
		return nil, err
	}
	if c.read(root); len(root.doc.findings) > 0 {
		return nil, c.errors(root.doc)
	}
	states, err := c.readStates()
	if err != nil {
		return nil, err
	}
	if _, err := c.withStates(states); err != nil {
		return nil, err
	}
	return c, nil
}

// openConfig parses the file, and reads nothing of it yet.
func openConfig(file string) (*Config, value, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, value{}, &ConfigError{File: file, Findings: []Finding{{Message: err.Error()}}}
	}
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, value{}, &ConfigError{File: file, Findings: []Finding{{Message: err.Error()}}}
	}
	return &Config{file: file, dir: dir}, new(document).parse(data), nil
}

func (c *Config) errors(doc *document) error {
	slices.SortStableFunc(doc.findings, func(a, b Finding) int { return cmp.Or(cmp.Compare(a.File, b.File), a.Line-b.Line) })
	return &ConfigError{File: c.file, Findings: doc.findings}
}

func (c *Config) read(root value) {
	if !root.present() {
		return
	}
	c.root = root
	at := root.sections()
	c.readListen(root, at)
	c.readTokens(root, at("tokens"))
	c.readTLS(root, at("tls"))
	c.readKeys(root, at("keys"))
	c.states = c.path(at("key_states").text())
	c.readPolicy(root, at)
	c.readTrust(at("trust"))
	c.readTimeStamps(at("timestamps"))
	c.readOthers(at)
	c.sandbox.complete = true
}

// readOthers reads what is left.
func (c *Config) readOthers(at func(string) value) {
	c.readAudit(at("audit"))
	c.readAdmin(at("admin"))
	c.readLimits(at("limits"))
	c.readRequestIDs(at("request_ids"))
	c.reflection = at("reflection").flag()
	c.readMetrics(at("metrics"))
	c.readTraces(at("traces"))
	c.readSandboxes(at("sandbox"))
	c.readLog(at("log"))
	c.keepApart(at)
}

// sections are the settings of the configuration's first level.
func (v value) sections() func(name string) value {
	return v.mapping(
		"listen",
		"insecure",
		"tls",
		"tokens",
		"keys",
		"key_states",
		"policy",
		"roles",
		"clients",
		"trust",
		"timestamps",
		"audit",
		"limits",
		"request_ids",
		"reflection",
		"admin",
		"metrics",
		"traces",
		"log",
		"sandbox",
	)
}

func (c *Config) readListen(root value, at func(string) value) {
	c.insecure = at("insecure").flag()
	v := at("listen")
	if c.listen = v.required(root); c.listen == "" {
		return
	}
	host, port, err := net.SplitHostPort(c.listen)
	if err != nil || port == "" {
		v.fail("must be host:port")
		return
	}
	c.sandbox.listens(c.listen)
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		v.fail("the port must be a number from 0 to 65535")
	}
	if ip := net.ParseIP(host); c.insecure && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		v.fail("without mutual TLS only a loopback address may be listened on, such as 127.0.0.1")
	}
}

func (c *Config) readTLS(root, v value) {
	c.tls = nil
	if !v.present() {
		if !c.insecure {
			missing(v, root)
		}
		return
	}
	if c.insecure {
		v.fail("contradicts insecure: true")
	}
	c.tls = &tlsConfig{place: v}
	at := v.mapping("certificate", "key", "key_token", "client_ca")
	certificate, key, onToken := at("certificate"), at("key"), at("key_token")
	chain := c.pem(certificate, v)
	switch {
	case key.present() == onToken.present():
		v.fail("exactly one of key and key_token is needed")
	case onToken.present():
		tok := onToken.mapping("token", "id")
		c.tls.token, c.tls.id = tok("token").required(onToken), tok("id").required(onToken)
		if c.tls.token != "" && c.token(c.tls.token) == nil {
			tok("token").fail("no token named %q", c.tls.token)
		}
	}
	if chain != nil {
		if c.tls.certificate = c.serverCertificate(certificate, key, chain); c.tls.certificate.PrivateKey != nil {
			c.tls.file = c.path(key.text())
		}
	}
	if data := c.pem(at("client_ca"), v); data != nil {
		c.tls.clientCAs, c.tls.authorities = clientCAs(at("client_ca"), data)
	}
}

// serverCertificate reads the chain, and the key beside it when it is in a file.
func (c *Config) serverCertificate(certificate, key value, chain []byte) tls.Certificate {
	out, err := parseChain(chain)
	if err != nil {
		certificate.fail("%s", err)
		return out
	}
	if now := time.Now(); now.After(out.Leaf.NotAfter) {
		certificate.fail("was valid until %s", out.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if key.present() {
		secret := c.pem(key, key)
		defer clear(secret)
		if secret == nil {
			return out
		}
		pair, err := tls.X509KeyPair(chain, secret)
		if err != nil {
			key.fail("%s", strings.TrimPrefix(err.Error(), "tls: "))
			return out
		}
		out = pair
	}
	return out
}

// clientCAs reads who issues clients' certificates. TLS knows no GOST, and what it does not know it would pass over in
// silence until the first client is refused.
func clientCAs(v value, data []byte) (*x509.CertPool, []*x509.Certificate) {
	pool := x509.NewCertPool()
	chain, err := parseChain(data)
	if err != nil {
		v.fail("%s", err)
		return pool, nil
	}
	var list []*x509.Certificate
	for _, der := range chain.Certificate {
		c, err := x509.ParseCertificate(der)
		switch {
		case err != nil:
			v.fail("%s", err)
		case c.PublicKeyAlgorithm == x509.UnknownPublicKeyAlgorithm:
			v.fail("the certificate of %s has no key of RSA, ECDSA or Ed25519", c.Subject)
		case time.Now().After(c.NotAfter):
			v.fail("the certificate of %s was valid until %s", c.Subject, c.NotAfter.UTC().Format(time.RFC3339))
		default:
			pool.AddCert(c)
			list = append(list, c)
		}
	}
	return pool, list
}

func seconds(v value, most int, otherwise time.Duration) time.Duration {
	if n := v.number(1, most); n > 0 {
		return time.Duration(n) * time.Second
	}
	return otherwise
}

// path makes a configured path absolute. What the configuration names the daemon may read; see sandboxConfig.
func (c *Config) path(s string) string {
	if s != "" && !filepath.IsAbs(s) {
		s = filepath.Join(c.dir, s)
	}
	if s != "" && c.files != nil {
		c.files[s] = stampOf(s)
	}
	if s != "" && !c.sandbox.complete {
		c.sandbox.read = append(c.sandbox.read, s)
	}
	return s
}

// pem reads a file that must be there; nil when it is not, which has then been noted.
func (c *Config) pem(v, owner value) []byte {
	name := v.required(owner)
	if name == "" {
		return nil
	}
	data, err := readFile(c.path(name))
	if err != nil {
		v.fail("%s", err)
		return nil
	}
	return data
}

// certificates reads a list of files with GOST certificates.
func (c *Config) certificates(v value) []*gost.Certificate {
	var out []*gost.Certificate
	for _, item := range v.list() {
		if name := item.text(); name != "" {
			out = append(out, c.certificateFile(item, name)...)
		}
	}
	return out
}

// certificateFile reads a file of GOST certificates; what is wrong with it is noted at v.
func (c *Config) certificateFile(v value, name string) []*gost.Certificate {
	data, err := readFile(c.path(name))
	if err != nil {
		v.fail("%s", err)
		return nil
	}
	list, err := gost.ParseCertificates(data)
	if err == nil && len(list) == 0 {
		err = errors.New("no certificate in it")
	}
	if err != nil {
		v.fail("%s: %s", name, err)
		return nil
	}
	return list
}

// readFile reads a regular file of bounded size. Opening does not wait, as it would for a pipe.
func readFile(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, errors.New(name + " is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(data) > maxConfig {
		err = errors.New(name + " is too large")
	}
	return data, err
}
