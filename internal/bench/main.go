// Command bench compares this project's hot paths with the best peers that run on the same machine, in one run: our code
// and the peer take turns for a number of rounds, processor time is counted, medians are compared. It prints one line per
// operation:
//
//	ratio NAME VALUE (ours .., peer ..)
//
// VALUE above 1 means that ours is faster. Usage: bench PEER, where PEER is the compiled peer/peer.c.
package main

import (
	"bytes"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
)

const slice = 100 * time.Millisecond

// comparison is one operation and its peer.
type comparison struct {
	name  string
	ours  func()
	peer  string // operation of peer/peer.c
	input []byte // its file, when it takes one
}

func main() {
	rounds := flag.Int("rounds", 7, "rounds of each side")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: bench [-rounds N] PEER")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(peer string, rounds int) error {
	dir, err := os.MkdirTemp("", "epov-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	list, err := comparisons()
	if err != nil {
		return err
	}
	for _, c := range list {
		args := []string{strconv.Itoa(int(slice / time.Millisecond)), c.peer}
		if c.input != nil {
			file := filepath.Join(dir, "input")
			if err := os.WriteFile(file, c.input, 0o600); err != nil {
				return err
			}
			args = append(args, file)
		}
		var ours, theirs []float64
		for range rounds {
			ours = append(ours, measure(c.ours))
			out, err := exec.Command(peer, args...).Output()
			if err != nil {
				return fmt.Errorf("%s %v: %w", peer, args, err)
			}
			ns, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
			if err != nil {
				return err
			}
			theirs = append(theirs, ns)
		}
		a, b := median(ours), median(theirs)
		fmt.Printf("ratio %s %.2f (ours %s, peer %s)\n", c.name, b/a, perOperation(a), perOperation(b))
	}
	return nil
}

func comparisons() ([]comparison, error) {
	message := make([]byte, 1<<20)
	rand.Read(message)
	digest256, digest512 := message[:32], message[:64]
	hash := func(d *gost.Digest) func() {
		h, out := d.New(), make([]byte, 0, d.Size)
		return func() { h.Reset(); h.Write(message); h.Sum(out) }
	}
	list := []comparison{
		{"gost/streebog-portable", hash(gost.Streebog256), "hash256", message},
		{"gost/streebog512-portable", hash(gost.Streebog512), "hash512", message},
	}
	for _, k := range []struct {
		name, params, peer string
		algorithm          *gost.Algorithm
		digest             []byte
	}{
		{"256", "CryptoPro-A", "256", gost.GOST2012_256, digest256},
		{"256tc26", "tc26-256-A", "256tc26", gost.GOST2012_256, digest256},
		{"512", "tc26-512-A", "512", gost.GOST2012_512, digest512},
	} {
		private, err := gost.GenerateKey(rand.Reader, k.algorithm, gost.ParamSetByName(k.params))
		if err != nil {
			return nil, err
		}
		sig, err := private.Sign(rand.Reader, k.digest, nil)
		if err != nil {
			return nil, err
		}
		public := private.Public().(*gost.PublicKey)
		list = append(list, comparison{"gost/verify" + k.name + "-cold", func() { must(public.Verify(k.digest, sig)) }, "verify" + k.peer, nil})
		if k.name == "256" {
			list = append(list, comparison{"gost/sign256", func() {
				_, err := private.Sign(rand.Reader, k.digest, nil)
				must(err)
			}, "sign256", nil})
		}
	}
	for _, size := range []struct {
		name   string
		octets int
	}{{"2k", 2 << 10}, {"20k", 20 << 10}, {"1m", 1 << 20}} {
		doc := smevLike(size.octets)
		chain := []canon.Transform{{URI: canon.ExclusiveURI}}
		list = append(list, comparison{"canon/libxml2-" + size.name, func() {
			must(canon.Apply(io.Discard, doc, canon.Node{Whole: true}, chain, xmltext.Limits{}))
		}, "c14n", doc})
	}
	return list, nil
}

// smevLike makes a message of about n octets as SMEV carries them: namespaces, Cyrillic text, attributes, base64.
func smevLike(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body>` +
		`<t:SendRequestRequest xmlns:t="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" ` +
		`xmlns:b="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2"><b:MessagePrimaryContent>` +
		`<q:List xmlns:q="urn://example.ru/list/1.0">`)
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `<q:Person number="%d" kind="ФЛ"><q:Name>Иванов &amp; Петров</q:Name>`+
			`<x:Extra xmlns:x="urn://example.ru/extra">MIICyTCCAnSgAwIBAgICEAMwCgYIKoUDBwEBAwIwRzELMAkGA1UE</x:Extra></q:Person>`+"\n", i)
	}
	b.WriteString(`</q:List></b:MessagePrimaryContent></t:SendRequestRequest></S:Body></S:Envelope>`)
	return b.Bytes()
}

// measure returns the nanoseconds of processor time of one call of op, from about a slice of calls.
func measure(op func()) float64 {
	op()
	start, n := spent(), 0
	for {
		op()
		n++
		if d := spent() - start; d >= slice {
			return float64(d) / float64(n)
		}
	}
}

// spent is the processor time of this process, all threads.
func spent() time.Duration {
	var u syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func perOperation(ns float64) string { return time.Duration(ns).Round(10 * time.Nanosecond).String() }

func must(err error) {
	if err != nil {
		panic(err)
	}
}
