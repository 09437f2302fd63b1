package main

import "strings"

// figure is one that the benchmarks print, and what is asked of it.
type figure struct {
	name     string
	what     string
	lower    bool    // less is better
	solid    float64 // the least that is accepted; 0: nothing is asked
	moonshot float64
	unit     string // of a figure that is no ratio
	steady   bool   // enough of it to be held against the committed figure on a busy machine
}

// groups are the figures by package, in the order of the page. The figures asked for are those of the design.
var groups = []struct {
	title   string
	figures []figure
}{
	{"gost", []figure{
		{"gost/streebog-one", "Streebog, one message", false, 2.1, 2.8, "", true},
		{"gost/streebog512-one", "Streebog-512, one message", false, 0, 0, "", true},
		{"gost/streebog-many", "Streebog, several messages side by side", false, 3, 3.5, "", true},
		{"gost/streebog-table", "Streebog without AVX-512", false, 1.1, 1.3, "", true},
		{"gost/streebog-portable", "Streebog in portable Go", false, 0.7, 1, "", true},
		{"gost/gostr341194", "GOST R 34.11-94", false, 0, 0, "", true},
		{"gost/verify256-cold", "verify 256, unknown key", false, 4, 5.5, "", true},
		{"gost/verify256-prepared", "verify 256, prepared key", false, 10, 18, "", true},
		{"gost/verify256-batch", "verify 256, batch of eight", false, 20, 60, "", true},
		{"gost/verify256tc26-cold", "verify tc26-256-A, unknown key", false, 2.5, 4, "", true},
		{"gost/verify256tc26-prepared", "verify tc26-256-A, prepared key", false, 6, 10, "", true},
		{"gost/verify512-cold", "verify 512-A, unknown key", false, 3, 4, "", true},
		{"gost/verify512-prepared", "verify 512-A, prepared key", false, 8, 12, "", true},
		{"gost/sign256", "sign 256 in software, constant time", false, 2, 3, "", true},
		{"gost/verify256-portable", "verify 256 in portable Go, unknown key", false, 1, 2, "", true},
		{"gost/verify256tc26-portable", "verify tc26-256-A in portable Go, unknown key", false, 0, 0, "", true},
		{"gost/verify512-portable", "verify 512-A in portable Go, unknown key", false, 0, 0, "", true},
	}},
	{"canon", []figure{
		{"canon/libxml2-2k", "parse and canonicalize 2 KB", false, 7, 15, "", true},
		{"canon/libxml2-20k", "the same, 20 KB", false, 7, 15, "", true},
		{"canon/libxml2-1m", "the same, 1 MB", false, 7, 12, "", true},
		{"canon/libxml2-20m", "the same, 20 MB", false, 7, 12, "", true},
		{"canon/goxmldsig-20k", "the same beside a library in Go, 20 KB", false, 30, 60, "", true},
		{"canon/smev-fused", "exclusive C14N and SMEV's transform in one pass", false, 1.6, 2, "", true},
	}},
	{"signer", []figure{
		{"signer/sign-smev3-10k", "prepare and complete a message of 10 KB", false, 4, 6, "", true},
		{"signer/verify-smev3-10k", "verify it, prepared key", false, 5, 8, "", true},
		{"signer/sign-smev3-2k", "the same, 2 KB", false, 0, 0, "", true},
		{"signer/verify-smev3-2k", "verify it", false, 0, 0, "", true},
		{"signer/sign-smev3-100k", "the same, 100 KB", false, 0, 0, "", true},
		{"signer/verify-smev3-100k", "verify it", false, 0, 0, "", true},
		{"signer/sign-smev2-10k", "prepare and complete a message of SMEV 2, 10 KB", false, 0, 0, "", true},
		{"signer/verify-smev2-10k", "verify it", false, 0, 0, "", true},
		{"signer/sign-smev3-10k-c14n", "SMEV 3, 10 KB, where the peer leaves out SMEV's transform", false, 0, 0, "", true},
		{"signer/verify-smev3-10k-c14n", "verify it", false, 0, 0, "", true},
		{"signer/cms-1g", "CMS over 1 GiB, beside hashing it", false, 0.97, 0, "", true},
		{"signer/cms-1g-memory", "its memory, below what is allowed", false, 1, 0, "", true},
		{"signer/cms-1g-attached", "the same, the content within", false, 0, 0, "", true},
		{"signer/cms-1g-attached-memory", "its memory, below what is allowed", false, 0, 0, "", true},
		{"signer/cms-1g-verify", "verify CMS over 1 GiB, beside hashing it", false, 0, 0, "", true},
		{"signer/cms-1g-verify-memory", "its memory, below what is allowed", false, 0, 0, "", true},
	}},
	{"hsm", []figure{
		{"hsm/crossing", "the way into the module and back", false, 1, 4, "", true},
		{"hsm/worker-cost-us", "what a module's own process adds", true, 15, 6, "µs", false},
		{"hsm/submit-noop", "Submit over a module that does nothing", false, 0, 0, "", false},
		{"hsm/submit-worker-us", "the same with a process of its own", true, 0, 0, "µs", false},
		{"hsm/submit-softhsm", "throughput through Submit, on the clock", false, 0.95, 0.98, "", false},
		{"hsm/submit-softhsm-cpu", "the same by processor time", false, 0, 0, "", false},
		{"hsm/submit-softhsm-patched", "the same with the patched token", false, 0, 0, "", false},
		{"hsm/submit-softhsm-patched-cpu", "the same by processor time", false, 0, 0, "", false},
		{"hsm/crypto11-throughput", "through Submit, beside crypto11's pool: each over a loop without", false, 0, 0, "", false},
		{"hsm/crypto11-slow", "throughput beside crypto11's pool, a token as slow as hardware", false, 0, 0, "", false},
		{"hsm/crypto11-overload", "signed in time at twice what the token can, beside crypto11's pool", false, 0, 0, "", false},
		{"hsm/crypto11-after-loss", "share signed after all sessions died; crypto11's is in the details", false, 1, 1, "", false},
		{"hsm/submit-slow", "throughput with a token as slow as hardware", false, 0.95, 0.98, "", false},
		{"hsm/overload-goodput", "goodput at twice the knee", false, 0.95, 0.99, "", false},
		{"hsm/overload-p99", "p99 of the admitted at twice the knee", true, 2, 1.3, "", false},
		{"hsm/recovery-dead-session", "dead session: promise over the slowest", false, 1, 2, "", false},
		{"hsm/recovery-lost-login", "lost login", false, 1, 2, "", false},
		{"hsm/recovery-replug", "token plugged in again", false, 1, 2, "", false},
		{"hsm/recovery-dead-session-worker", "dead session, module in its own process", false, 1, 2, "", false},
		{"hsm/recovery-lost-login-worker", "lost login, module in its own process", false, 1, 2, "", false},
		{"hsm/recovery-replug-worker", "token plugged in again, module in its own process", false, 1, 2, "", false},
		{"hsm/recovery-crash", "module crashed", false, 1, 2, "", false},
		{"hsm/recovery-hang", "module hangs", false, 1, 2, "", false},
	}},
	{"peers", []figure{
		{"peers/botan-streebog", "Streebog beside Botan", false, 0, 0, "", true},
		{"peers/botan-verify256-cold", "verify 256, unknown key, beside Botan", false, 0, 0, "", true},
		{"peers/botan-sign256", "sign 256 in software, beside Botan", false, 0, 0, "", true},
		{"peers/bouncycastle-streebog", "Streebog beside Bouncy Castle", false, 0, 0, "", true},
		{"peers/bouncycastle-verify256-cold", "verify 256, unknown key, beside Bouncy Castle", false, 0, 0, "", true},
		{"peers/bouncycastle-sign256", "sign 256 in software, beside Bouncy Castle", false, 0, 0, "", true},
		{"peers/santuario-c14n-20k", "parse and canonicalize 20 KB, beside Apache Santuario", false, 0, 0, "", true},
	}},
	{"service", []figure{
		{"service/signxml-unary", "SignXml 10 KB, the server's processor time over that of an echo", true, 1.75, 1.5, "", false},
		{"service/signxml-stream", "the same in a stream", true, 1.75, 1.5, "", false},
		{"service/signxml-floor", "an echo that canonicalizes, hashes and verifies once, over one that does not", true, 0, 0, "", false},
		{"service/signxml-stream-floor", "the same in a stream", true, 0, 0, "", false},
		{"service/softhsm", "messages a second over a bare token loop", false, 0.6, 0.75, "", false},
		{"service/softhsm-floor", "an echo of them that calls the token for each, over the bare loop", false, 0, 0, "", false},
		{"service/softhsm-cpu", "the same by processor time of all sides", false, 0, 0, "", true},
		{"service/softhsm-digest", "digests a second over a bare token loop", false, 0, 0, "", false},
		{"service/verifyxml", "VerifyXml 10 KB a second over a server's published 700", false, 10, 20, "", false},
		{"service/audit-latency-ms", "latency that a durable record adds", true, 5, 2, "ms", false},
		{"service/audit-throughput", "throughput with the audit log over that without", false, 0.9, 0.97, "", false},
		{"service/three-nodes", "three nodes over one", false, 2.8, 2.95, "", false},
		{"service/start-s", "start to the first signature", true, 1, 0.3, "s", false},
		{"service/rest-mib", "memory at rest", true, 64, 32, "MiB", false},
	}},
}

// find returns the figure of a name. Of one that is in no table nothing is asked; its group must be known.
func find(name string) (figure, bool) {
	known := false
	for _, g := range groups {
		known = known || strings.HasPrefix(name, g.title+"/")
		for _, f := range g.figures {
			if f.name == name {
				return f, true
			}
		}
	}
	return figure{name: name}, known
}

// margin is how far a steady figure may fall below the committed one: machines are noisy, and differ.
const margin = 0.5

// score is how well a value meets what is asked: 1 just does, more is better. 0: nothing is asked.
func (f figure) score(value float64) float64 {
	switch {
	case f.solid == 0 || value <= 0:
		return 0
	case f.lower:
		return f.solid / value
	}
	return value / f.solid
}
