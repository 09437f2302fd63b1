package cms

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/iotest"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// cycle repeats itself up to a length.
type cycle struct {
	block []byte
	at    int
	left  int64
}

func (c *cycle) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), c.left)], c.block[c.at:])
	c.at = (c.at + n) % len(c.block)
	c.left -= int64(n)
	return n, nil
}

// contentSizes meet the ends of lengths, of chunks and of nothing.
var contentSizes = []int{0, 1, 127, 128, 1000, chunkSize - 1, chunkSize, chunkSize + 1, 3*chunkSize + 17}

// What a stream makes is what Prepare and Complete make, octet for octet; in BER it says the same.
func TestStream(t *testing.T) {
	signers, anchors := people(t)
	policy := Policy{Trust: trust.New(anchors, nil), Time: time.Now()}
	dir := t.TempDir()
	roots := filepath.Join(dir, "roots.pem")
	if err := os.WriteFile(roots, testpki.PEM(anchors...), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, size := range contentSizes {
		signer := signers[i%len(signers)]
		content := make([]byte, size)
		_, _ = io.ReadFull(&cycle{block: []byte("0123456789"), left: int64(size)}, content)
		for _, name := range []string{"pkcs7-detached", "pkcs7-attached", "cades-bes-attached"} {
			for _, announced := range []int64{int64(size), UnknownSize} {
				t.Run(fmt.Sprintf("%s/%d/%d", name, size, announced), func(t *testing.T) {
					profile := ProfileByName(name)
					in := Input{Certificate: signer.certificate, Time: time.Now()}
					var out bytes.Buffer
					s, err := profile.NewStream(&out, in, announced)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := io.Copy(s, iotest.HalfReader(bytes.NewReader(content))); err != nil {
						t.Fatal(err)
					}
					digest, err := s.Prepare()
					if err != nil {
						t.Fatal(err)
					}
					value, err := signer.key.Sign(rand.Reader, digest, nil)
					if err != nil {
						t.Fatal(err)
					}
					if err := s.Complete(value); err != nil {
						t.Fatal(err)
					}
					p := policy
					if profile.Detached {
						p.Reader = bytes.NewReader(content)
					}
					r, err := VerifyStream(bytes.NewReader(out.Bytes()), p)
					if err != nil || r.Verdict() != report.Valid || r.Signatures[0].Coverage[0].Octets != int64(size) {
						t.Fatalf("%v, %+v", err, r)
					}
					if !profile.Detached {
						same(t, name, out.Bytes(), bytes.NewReader(out.Bytes()), policy)
					}
					file := filepath.Join(dir, "m")
					if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
						t.Fatal(err)
					}
					args := []string{"cms", "-verify", "-binary", "-inform", "DER", "-in", file, "-CAfile", roots}
					if profile.Detached {
						text := filepath.Join(dir, "content")
						if err := os.WriteFile(text, content, 0o600); err != nil {
							t.Fatal(err)
						}
						args = append(args, "-content", text)
					}
					if got, err := oracle.OpenSSL(t, nil, args...); err != nil || !bytes.Equal(got, content) {
						t.Errorf("OpenSSL: %d octets, %v", len(got), err)
					}
					if announced < 0 && !profile.Detached {
						return
					}
					in.Content = content
					prepared, err := profile.Prepare(in)
					if err != nil {
						t.Fatal(err)
					}
					want, err := prepared.Complete(value)
					if err != nil || !bytes.Equal(out.Bytes(), want) {
						t.Errorf("%v; streamed\n%.80x\nin memory\n%.80x", err, out.Bytes(), want)
					}
				})
			}
		}
	}
}

// A detached message with everything there is takes its content in, in DER and in BER.
func TestAttach(t *testing.T) {
	signers, anchors := people(t)
	policy := Policy{Trust: trust.New(anchors, nil), Time: time.Now()}
	for _, size := range contentSizes {
		content := bytes.Repeat([]byte{'x'}, size)
		one := signers[0].sign(t, ProfileByName("cades-bes-detached"), Input{Reader: bytes.NewReader(content)})
		two := signers[2].sign(t, ProfileByName("pkcs7-detached"), Input{Content: content})
		message, err := Merge(one, two)
		if err != nil {
			t.Fatal(err)
		}
		message = signers[1].sign(t, Countersignature, Input{Content: message, Signer: []int{1}})
		for _, announced := range []int64{int64(size), UnknownSize} {
			var out bytes.Buffer
			if err := Attach(&out, message, iotest.OneByteReader(bytes.NewReader(content)), announced); err != nil {
				t.Fatal(err)
			}
			r := mustVerify(t, out.Bytes(), policy)
			if r.Verdict() != report.Valid || len(r.Signatures) != 3 || r.Signatures[0].Coverage[0].Octets != int64(size) {
				t.Errorf("%d: %+v", size, r.Failures())
			}
			same(t, "attached", out.Bytes(), bytes.NewReader(out.Bytes()), policy)
			if err := Attach(io.Discard, out.Bytes(), bytes.NewReader(content), announced); err == nil {
				t.Error("attached twice")
			}
		}
		if err := Attach(io.Discard, message, bytes.NewReader(content), int64(size)+1); err == nil {
			t.Error("a content that is shorter than announced is attached")
		}
		if err := Attach(io.Discard, message, bytes.NewReader(append(content, 0)), int64(size)); err == nil {
			t.Error("a content that is longer than announced is attached")
		}
		if err := Attach(io.Discard, message, bytes.NewReader(append(content, 0)), UnknownSize); err == nil {
			t.Error("another content is attached")
		}
	}
}

func TestStreamRefuses(t *testing.T) {
	signers, _ := people(t)
	in := Input{Certificate: signers[0].certificate, Time: time.Now()}
	for _, name := range []string{"countersignature", "cades-t-attached"} {
		if _, err := ProfileByName(name).NewStream(io.Discard, in, 1); err == nil {
			t.Errorf("%s is streamed", name)
		}
	}
	s, err := ProfileByName("pkcs7-attached").NewStream(io.Discard, in, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Complete(make([]byte, 64)); err == nil {
		t.Error("completed before the end of the content")
	}
	if _, err := s.Write([]byte("ab")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prepare(); err == nil {
		t.Error("a content that is too short")
	}
	if _, err := s.Write([]byte("cd")); err == nil {
		t.Error("a content that is too long")
	}
}

// Making and verifying a content of 64 MiB takes no more memory than a small one.
func TestConstantMemory(t *testing.T) {
	signers, anchors := people(t)
	const size = 64 << 20
	block := make([]byte, 1<<20)
	r, w := io.Pipe()
	in := Input{Certificate: signers[0].certificate, Time: time.Now()}
	go func() {
		s, err := ProfileByName("pkcs7-attached").NewStream(w, in, size)
		if err == nil {
			_, err = io.Copy(s, &cycle{block: block, left: size})
		}
		if err == nil {
			var digest, value []byte
			if digest, err = s.Prepare(); err == nil {
				if value, err = signers[0].key.Sign(rand.Reader, digest, nil); err == nil {
					err = s.Complete(value)
				}
			}
		}
		w.CloseWithError(err)
	}()
	policy := Policy{Trust: trust.New(anchors, nil)}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := VerifyStream(r, policy)
	runtime.ReadMemStats(&after)
	if err != nil || got.Verdict() != report.Valid || got.Signatures[0].Coverage[0].Octets != size {
		t.Fatalf("%v, %+v", err, got)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
		t.Errorf("%d octets were allocated on the way", used)
	}
}

func BenchmarkDetachedReader(b *testing.B) {
	ca := testpki.NewCA(b, gost.GOST2012_256, "CryptoPro-A")
	_, certificate := ca.NewSigner(b, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	const size = 64 << 20
	block := make([]byte, 1<<20)
	b.Run("cms", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			in := Input{Reader: &cycle{block: block, left: size}, Certificate: certificate, Time: time.Now()}
			if _, err := ProfileByName("pkcs7-detached").Prepare(in); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("hash", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			h := gost.Streebog256.New()
			for range size / len(block) {
				h.Write(block)
			}
		}
	})
}
