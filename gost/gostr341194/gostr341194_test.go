package gostr341194

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"testing"

	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/vectors"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type message struct {
	Pattern string
	Length  int
	Msg     hexBytes
	Digest  hexBytes `json:"gost94"`
}

func (m *message) input(t testing.TB) []byte {
	if m.Pattern == "" {
		return m.Msg
	}
	msg := make([]byte, m.Length)
	fill, uniform := strings.CutPrefix(m.Pattern, "byte=")
	b, err := strconv.ParseUint(fill, 16, 8)
	switch {
	case uniform && err == nil:
		for i := range msg {
			msg[i] = byte(b)
		}
	case m.Pattern == "count251":
		for i := range msg {
			msg[i] = byte(i % 251)
		}
	default:
		t.Fatalf("unknown pattern %q", m.Pattern)
	}
	return msg
}

type vectorFile struct {
	RFC6986, Lengths []message
	Checksum         []message `json:"checksum_carry"`
	Known            []struct {
		Msg    hexBytes
		Digest hexBytes `json:"gost94_cryptopro"`
	} `json:"gost94_cryptopro_known"`
	Empty struct{ Common, Engine hexBytes } `json:"gost94_empty_message"`
}

func load(t testing.TB) (f vectorFile) {
	vectors.JSON(t, "gost/streebog.json", &f)
	if len(f.RFC6986) == 0 || len(f.Lengths) < 90 || len(f.Checksum) == 0 || len(f.Known) == 0 {
		t.Fatal("the vector file lacks sections")
	}
	return f
}

func TestKnownAnswers(t *testing.T) {
	f := load(t)
	n := 0
	check := func(msg, want []byte) {
		if got := Sum(msg); !bytes.Equal(got[:], want) {
			t.Errorf("digest of %d octets is %x, want %x", len(msg), got, want)
		}
		n++
		vectors.Outcome(t, "34.11-94", fmt.Sprint(n), "same octets", "same octets")
	}
	for _, group := range [][]message{f.RFC6986, f.Lengths, f.Checksum} {
		for _, m := range group {
			check(m.input(t), m.Digest)
		}
	}
	for _, m := range f.Known {
		check(m.Msg, m.Digest)
	}
	t.Logf("%d messages", n)
}

// TestEmpty pins both values of the empty message; the engine's is computed here, not only copied.
func TestEmpty(t *testing.T) {
	f := load(t)
	if got := Sum(nil); !bytes.Equal(got[:], f.Empty.Common) {
		t.Errorf("digest of the empty message is %x, want %x", got, f.Empty.Common)
	}
	var d digest
	d.compress(new([BlockSize]byte))
	d.finish()
	var letter [Size]byte
	d.h.store(&letter)
	if letter != EmptyEngine || !bytes.Equal(EmptyEngine[:], f.Empty.Engine) {
		t.Errorf("EmptyEngine is %x, RFC 5831 gives %x, the vectors say %x", EmptyEngine, letter, f.Empty.Engine)
	}
}

// TestOpenSSL compares with the gost engine, on messages that are not as regular as those of the vectors.
func TestOpenSSL(t *testing.T) {
	for _, length := range []int{1, 31, 32, 33, 1000, 50_001} {
		msg := make([]byte, length)
		for i := range msg {
			msg[i] = byte(i*i>>3 + length)
		}
		want, err := oracle.OpenSSL(t, msg, "dgst", "-md_gost94", "-binary")
		if err != nil {
			t.Fatal(err)
		}
		if got := Sum(msg); !bytes.Equal(got[:], want) {
			t.Errorf("digest of %d octets is %x, OpenSSL says %x", length, got, want)
		}
	}
}

func TestSplit(t *testing.T) {
	msg := make([]byte, 4*BlockSize+7)
	for i := range msg {
		msg[i] = byte(i * 7)
	}
	want := Sum(msg)
	for i := range msg {
		h := New()
		h.Write(msg[:i])
		c, err := h.(hash.Cloner).Clone()
		if err != nil {
			t.Fatal(err)
		}
		if got, part := h.Sum(nil), Sum(msg[:i]); !bytes.Equal(got, part[:]) {
			t.Fatalf("Sum after %d octets is %x, want %x", i, got, part)
		}
		h.Write(msg[i:])
		if got := h.Sum(nil); !bytes.Equal(got, want[:]) {
			t.Fatalf("split at %d: %x, want %x", i, got, want)
		}
		c.Write(msg[i:])
		if got := c.Sum(nil); !bytes.Equal(got, want[:]) {
			t.Fatalf("clone at %d: %x, want %x", i, got, want)
		}
		h.Reset()
		h.Write(msg)
		if got := h.Sum(nil); !bytes.Equal(got, want[:]) {
			t.Fatalf("after Reset: %x, want %x", got, want)
		}
	}
}

func TestAllocations(t *testing.T) {
	msg := make([]byte, 1000)
	sum := make([]byte, 0, Size)
	h := New()
	if n := testing.AllocsPerRun(100, func() {
		h.Reset()
		h.Write(msg)
		sum = h.Sum(sum[:0])
	}); n != 0 {
		t.Errorf("hashing allocates %v times", n)
	}
}

func FuzzGOSTR341194(f *testing.F) {
	f.Add([]byte(""), uint16(0))
	f.Add([]byte("This is message, length=32 bytes"), uint16(5))
	f.Fuzz(func(t *testing.T, msg []byte, at uint16) {
		i := min(int(at), len(msg))
		want := Sum(msg)
		h := New()
		h.Write(msg[:i])
		h.Write(msg[i:])
		if got := h.Sum(nil); !bytes.Equal(got, want[:]) {
			t.Errorf("split at %d of %d: %x, want %x", i, len(msg), got, want)
		}
	})
}

func BenchmarkHash(b *testing.B) {
	msg := make([]byte, 64<<10)
	sum := make([]byte, 0, Size)
	h := New()
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		h.Reset()
		h.Write(msg)
		sum = h.Sum(sum[:0])
	}
}
