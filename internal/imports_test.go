package internal

import (
	"bufio"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/epov-signer/epov/"

// allowed is the diagram of the packages: what each may import of this module. A package that is not listed fails the
// test, so a new one is placed on purpose.
const allowed = `
signer/report          :
canon/xmltext          :
gost/streebog/internal/rfc6986 :
gost/streebog/internal/gen     : gost/streebog/internal/rfc6986
gost/streebog          : gost/streebog/internal/rfc6986
gost/gostr341194       :
gost/internal/fieldasm :
gost                   : gost/streebog gost/gostr341194
canon                  : canon/xmltext
canon/transcode        :
canon/tree             : canon canon/xmltext
signer/trust           : gost signer/report
signer/trust/revocation : gost signer/trust
signer/trust/lint      : gost
signer/trust/directory : gost signer/trust signer/tsl
signer/tsl             : canon/xmltext gost signer/report signer/trust signer/xmldsig
signer/cms             : gost gost/gostr341194 signer/report signer/trust
signer/xmldsig         : canon canon/xmltext gost signer/cms signer/report signer/trust
signer/esia            : gost signer/cms signer/report
signer/tsp             : gost signer/cms signer/report signer/trust
signer/explain         : canon canon/xmltext gost signer/cms signer/report signer/xmldsig
signer/audit           : gost
signer/audit/tlog      : signer/audit signer/report
signer/audit/tlog/follow : signer/audit
signer                 : canon/xmltext gost signer/audit signer/explain signer/report signer/trust signer/trust/lint signer/xmldsig signer/cms
hsm/internal/p11       :
hsm/internal/tpm       :
hsm/internal/pin       : hsm/internal/p11 hsm/internal/tpm
internal/sandbox       :
internal/version       :
internal/supply        :
hsm/internal/worker    : hsm/internal/p11 hsm/internal/pin internal/sandbox
hsm                    : gost hsm/internal/p11 hsm/internal/pin hsm/internal/tpm hsm/internal/worker
softhsm                : internal/oracle
softhsm/selfcheck      : gost hsm softhsm
api/epovpb             :
api/client             : api/epovpb gost
api                    : api/epovpb signer signer/audit signer/explain signer/report
internal/daemon/observe : api hsm internal/sandbox signer
internal/daemon        : internal/daemon/observe api api/epovpb gost hsm internal/sandbox internal/version signer signer/audit signer/audit/tlog signer/audit/tlog/follow signer/cms signer/report signer/trust signer/trust/directory signer/trust/revocation signer/tsp signer/xmldsig
deploy                 :
deploy/demo/tsa        : gost signer/tsp
deploy/man             : internal/manpage
cmd/epovd              : hsm internal/daemon
cmd/epov               : api/client api/epovpb canon canon/transcode canon/xmltext gost hsm internal/daemon internal/version signer signer/audit signer/audit/tlog signer/cms signer/esia signer/report signer/trust signer/trust/directory signer/trust/lint signer/trust/revocation signer/tsl signer/xmldsig signer/explain signer/tsp internal/manpage internal/load
internal/manpage       :
internal/apidoc        :
internal/oracle        :
internal/processes     :
internal/await         : internal/processes
internal/swtpm         : internal/oracle
internal/vectors       :
internal/conformance   :
internal/bench/figures :
internal/testpki       : gost
internal/reliability/runs :
internal/reliability   : internal/reliability/runs
internal/chaos         : gost hsm internal/oracle internal/processes internal/reliability/runs softhsm
internal/plot          :
internal/load          : api/client api/epovpb internal/plot
internal/nodes         : api/client gost hsm internal/processes internal/testpki softhsm
internal/bench/load    : api/client api/epovpb hsm internal/load internal/nodes internal/oracle internal/plot internal/processes softhsm
internal/bench         : api/client internal/load internal/nodes canon canon/xmltext gost gost/gostr341194 gost/streebog hsm internal/daemon internal/oracle internal/processes internal/testpki signer/cms signer/report signer/trust signer/xmldsig softhsm
internal               :
`

// fences says which packages outside the module are confined, and why.
var fences = []struct{ path, inside, why string }{
	{"github.com/miekg/pkcs11", "hsm internal/bench", "PKCS#11 stays behind hsm"},
	{"github.com/ThalesGroup/crypto11", "hsm internal/bench", "PKCS#11 stays behind hsm"},
	{"github.com/google/go-tpm", "hsm internal/swtpm", "TPMs stay behind hsm"},
	{"github.com/transparency-dev/tessera", "signer/audit/tlog", "records and receipts are read without the log"},
	{"github.com/nats-io", "signer/audit/tlog/follow", "a sink among others"},
	{"k8s.io/klog", "signer/audit/tlog", "it is there for Tessera only"},
	{"google.golang.org/grpc", "api internal/daemon cmd/epov internal/bench", "the core does not know how it is called"},
	{"github.com/alecthomas/kong", "cmd", "flags belong to programs"},
	{"github.com/beevik/etree", "canon/tree", "trees are for callers who build them, and for tests; the hot path streams"},
	{"github.com/prometheus", "internal/daemon/observe", "metrics are counted and shown in one place"},
	{"go.opentelemetry.io/otel", "internal/daemon/observe", "traces are drawn in one place"},
	{"C", "hsm softhsm", "canon, gost and signer build without cgo"},
}

func TestImports(t *testing.T) {
	table := map[string][]string{}
	for line := range strings.Lines(allowed) {
		if name, list, ok := strings.Cut(line, ":"); ok {
			table[strings.TrimSpace(name)] = strings.Fields(list)
		}
	}
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		name := strings.TrimPrefix(fields[0], module)
		list, known := table[name]
		if !known {
			t.Errorf("%s is not in the diagram of the packages", name)
			continue
		}
		for _, imported := range fields[1:] {
			if own, ok := strings.CutPrefix(imported, module); ok {
				if !slices.Contains(list, own) {
					t.Errorf("%s must not import %s", name, own)
				}
				list = slices.DeleteFunc(list, func(s string) bool { return s == own })
				continue
			}
			for _, f := range fences {
				if (imported == f.path || strings.HasPrefix(imported, f.path+"/")) && !below(name, f.inside) {
					t.Errorf("%s must not import %s: %s", name, imported, f.why)
				}
			}
		}
		if len(list) > 0 {
			t.Errorf("%s does not import %s: the diagram says more than is so", name, list)
		}
	}
}

func below(name, places string) bool {
	for _, p := range strings.Fields(places) {
		if name == p || strings.HasPrefix(name, p+"/") {
			return true
		}
	}
	return false
}
