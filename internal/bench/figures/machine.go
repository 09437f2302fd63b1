package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// features are those of the processor that choose our code or the peer's.
var features = []string{"avx2", "bmi2", "adx", "avx512f", "avx512bw", "avx512vbmi", "avx512ifma", "gfni", "sha_ni"}

// peers are what ours is compared with: Debian packages, and modules of Go by the file that says their version.
var peers = []struct{ title, source, name string }{
	{"OpenSSL", "", "openssl"}, {"its gost engine", "", "libengine-gost-openssl"}, {"libxml2", "", "libxml2"},
	{"Botan", "", "libbotan-2-dev"},
	{"Bouncy Castle", "", "libbcprov-java"}, {"Apache Santuario", "", "libxml-security-java"}, {"Java", "", "default-jre-headless"},
	{"goxmldsig", "internal/bench/goxmldsig/go.mod", "github.com/russellhaering/goxmldsig"},
	{"crypto11", "go.mod", "github.com/ThalesGroup/crypto11"}, {"miekg/pkcs11", "go.mod", "github.com/miekg/pkcs11"},
	{"gRPC", "go.mod", "google.golang.org/grpc"},
}

// machine says where the figures are from, as far as it matters: never its name.
func machine() string {
	info, _ := os.ReadFile("/proc/cpuinfo") // what is not told stays unknown
	processor, flags := "unknown processor", []string(nil)
	for l := range strings.Lines(string(info)) {
		switch name, value, _ := strings.Cut(l, ":"); strings.TrimSpace(name) {
		case "model name":
			processor = strings.TrimSpace(value)
		case "flags":
			flags = strings.Fields(value)
		}
	}
	var has []string
	for _, f := range features {
		if slices.Contains(flags, f) {
			has = append(has, f)
		}
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	kernel := strings.TrimRight(regexp.MustCompile(`^[0-9.]*`).FindString(string(release)), ".") // what follows is a builder's
	var versions []string
	for _, p := range peers {
		if v := version(p.source, p.name); v != "" {
			versions = append(versions, p.title+" "+v)
		}
	}
	return fmt.Sprintf(`Measured by `+"`make bench`"+` on %s, %d processors (%s), Linux %s, %s, %s/%s.
Peers: %s; SoftHSM 2.6.1 as published and with this project's patches. Ratios are medians of rounds in which both sides take
turns; beside them the quartiles. Bold: less than what is asked.`,
		processor, runtime.NumCPU(), cmp.Or(strings.Join(has, ", "), "no features known"), cmp.Or(kernel, "unknown"),
		runtime.Version(), runtime.GOOS,
		runtime.GOARCH, cmp.Or(strings.Join(versions, ", "), "none"))
}

// version of a package; empty when it is not there.
func version(source, name string) string {
	if source == "" {
		out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", name).Output()
		if err != nil {
			return ""
		}
		v, _, _ := strings.Cut(string(out), "-") // the packagers' revision
		_, v, found := strings.Cut(v, ":")
		if !found {
			v, _, _ = strings.Cut(string(out), "-")
		}
		return v
	}
	text, err := os.ReadFile(source)
	if err != nil {
		return ""
	}
	for l := range strings.Lines(string(text)) {
		if f := strings.Fields(strings.TrimPrefix(strings.TrimSpace(l), "require ")); len(f) >= 2 && f[0] == name {
			return strings.TrimPrefix(f[1], "v")
		}
	}
	return ""
}
