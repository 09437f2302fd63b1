package main

import (
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/epov-signer/epov/internal/oracle"
)

// sample is some of the signatures, for another program to verify.
type sample struct {
	every int
	mutex sync.Mutex
	taken []sampled
}

type sampled struct {
	signer
	message, signature []byte
}

// samples are taken in a phase, some more or less.
const samples = 150

func newSample(n int) *sample { return &sample{every: max(n/samples, 20)} }

func (s *sample) offer(number int, k signer, message, signature []byte) {
	if number%s.every != 0 {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.taken = append(s.taken, sampled{k, message, signature})
}

// check has OpenSSL's gost engine hash and verify.
func (s *sample) check(tb testing.TB, b *book) {
	dir := tb.TempDir()
	write := func(name string, octets []byte) string {
		path := filepath.Join(dir, name)
		must(os.WriteFile(path, octets, 0o600))
		return path
	}
	for _, v := range s.taken {
		key := write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: v.public.SubjectPublicKeyInfo()}))
		md := map[int]string{32: "-md_gost12_256", 64: "-md_gost12_512"}[v.public.Algorithm.Size]
		out, err := oracle.OpenSSL(tb, v.message, "dgst", md, "-verify", key, "-signature", write("signature", v.signature))
		if err != nil || !strings.Contains(string(out), "Verified OK") {
			b.wrong.Add(1)
			b.stray(fmt.Sprintf("OpenSSL refuses a signature: %x over %x: %s %v", v.signature, v.message, out, err))
		}
	}
}
