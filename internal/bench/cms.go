package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
)

const (
	gigabyte    = 1 << 30
	cmsMemory   = 32 << 20 // octets that a message of a gigabyte may take
	cmsRounds   = 3        // each takes seconds
	detachedCMS = "pkcs7-detached"
	attachedCMS = "pkcs7-attached"
)

// repeated reads block after block up to a length, as a file would be read: with a copy.
type repeated struct {
	block []byte
	at    int
	left  int64
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), r.left)], r.block[r.at:])
	r.at, r.left = (r.at+n)%len(r.block), r.left-int64(n)
	return n, nil
}

// cmsComparisons compare what a message over a gigabyte takes with hashing the same octets in memory and nothing else.
func (s *signerSide) cmsComparisons() []comparison {
	block := make([]byte, 1<<20)
	rand.Read(block)
	content := func() io.Reader { return &repeated{block: block, left: gigabyte} }
	hash := func() {
		h := gost.Streebog256.New()
		for range gigabyte / len(block) {
			h.Write(block)
		}
		h.Sum(nil)
	}
	in := cms.Input{Certificate: s.cert, Time: time.Now()}
	sign := func() []byte {
		in := in
		in.Reader = content()
		prepared, err := cms.ProfileByName(detachedCMS).Prepare(in)
		must(err)
		value, err := s.key.Sign(rand.Reader, prepared.Digest(), nil)
		must(err)
		message, err := prepared.Complete(value)
		must(err)
		return message
	}
	detached := sign()
	verify := func(message io.Reader, policy cms.Policy) {
		policy.Trust, policy.Keys = s.store, s.keys
		r, err := cms.VerifyStream(message, policy)
		must(err)
		if r.Verdict() != report.Valid {
			must(fmt.Errorf("%s: %v", r.Verdict(), r.Failures()))
		}
	}
	// An attached message on the fly: what stands before and behind the content, and the content between.
	var attached bytes.Buffer
	must(cms.Attach(&frameOnly{&attached}, detached, content(), gigabyte))
	head := attached.Len() - tailOf(attached.Bytes(), detached)
	list := []comparison{
		{name: "signer/cms-1g", ours: func() { sign() }, other: hash},
		{name: "signer/cms-1g-verify", ours: func() { verify(bytes.NewReader(detached), cms.Policy{Reader: content()}) }, other: hash},
		{name: "signer/cms-1g-attached", other: hash, ours: func() {
			verify(io.MultiReader(bytes.NewReader(attached.Bytes()[:head]), content(), bytes.NewReader(attached.Bytes()[head:])),
				cms.Policy{})
		}},
	}
	for i := range list {
		list[i].rounds, list[i].memory = cmsRounds, cmsMemory
	}
	return list
}

// frameOnly keeps what is written in short pieces: the frame of a message, not its content.
type frameOnly struct{ w *bytes.Buffer }

func (f *frameOnly) Write(p []byte) (int, error) {
	if len(p) < 64<<10 {
		f.w.Write(p)
	}
	return len(p), nil
}

// tailOf is how long the common end of an attached and a detached message is: everything behind the content.
func tailOf(attached, detached []byte) (n int) {
	for n < min(len(attached), len(detached)) && attached[len(attached)-1-n] == detached[len(detached)-1-n] {
		n++
	}
	return n
}

// allocated is how many octets op takes from the heap, all in all: at least what it has at any moment.
func allocated(op func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	op()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
