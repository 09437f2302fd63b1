package streebog

import (
	"bytes"
	"crypto/hmac"
	"encoding/hex"
	"hash"
	"strconv"
	"strings"
	"testing"

	"github.com/epov-signer/epov/internal/vectors"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type message struct {
	Name, Pattern string
	Length        int
	Msg           hexBytes
	Digest256     hexBytes `json:"streebog256"`
	Digest512     hexBytes `json:"streebog512"`
}

// input returns the message, written out from its pattern where the file only names one.
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
	RFC6986  []message
	Lengths  []message
	Checksum []message `json:"checksum_carry"`
	HMAC     []struct {
		Key, Msg hexBytes
		MAC256   hexBytes `json:"hmac_streebog256"`
		MAC512   hexBytes `json:"hmac_streebog512"`
	} `json:"hmac_rfc7836_and_more"`
	Constants struct {
		Pi hexBytes
		A  []string `json:"a_matrix"`
		C  []hexBytes
	}
}

func load(t testing.TB) (f vectorFile) {
	vectors.JSON(t, "gost/streebog.json", &f)
	if len(f.RFC6986) != 2 || len(f.Lengths) < 90 || len(f.Checksum) == 0 || len(f.HMAC) == 0 {
		t.Fatal("the vector file lacks sections")
	}
	return f
}

func TestKnownAnswers(t *testing.T) {
	f := load(t)
	n := 0
	for _, group := range [][]message{f.RFC6986, f.Lengths, f.Checksum} {
		for _, m := range group {
			msg := m.input(t)
			if got := Sum256(msg); !bytes.Equal(got[:], m.Digest256) {
				t.Errorf("%s %s %d: Streebog-256 is %x, want %x", m.Name, m.Pattern, len(msg), got, m.Digest256)
			}
			if got := Sum512(msg); !bytes.Equal(got[:], m.Digest512) {
				t.Errorf("%s %s %d: Streebog-512 is %x, want %x", m.Name, m.Pattern, len(msg), got, m.Digest512)
			}
			n++
		}
	}
	t.Logf("%d messages, two digests each", n)
}

func TestHMAC(t *testing.T) {
	f := load(t)
	for i, v := range f.HMAC {
		for _, c := range []struct {
			new  func() hash.Hash
			want []byte
		}{{New256, v.MAC256}, {New512, v.MAC512}} {
			mac := hmac.New(c.new, v.Key)
			for range 2 {
				mac.Reset()
				mac.Write(v.Msg)
				if got := mac.Sum(nil); !bytes.Equal(got, c.want) {
					t.Errorf("row %d: HMAC is %x, want %x", i, got, c.want)
				}
			}
		}
	}
	t.Logf("%d rows, two codes each", len(f.HMAC))
}

// TestSplit feeds a message in two and in many pieces, asking for the digest in between.
func TestSplit(t *testing.T) {
	msg := make([]byte, 3*BlockSize+7)
	for i := range msg {
		msg[i] = byte(i * 7)
	}
	want := Sum512(msg)
	for i := range msg {
		d := New512()
		d.Write(msg[:i])
		if got, part := d.Sum(nil), Sum512(msg[:i]); !bytes.Equal(got, part[:]) {
			t.Fatalf("Sum after %d octets is %x, want %x", i, got, part)
		}
		d.Write(msg[i:])
		if got := d.Sum(nil); !bytes.Equal(got, want[:]) {
			t.Fatalf("split at %d: %x, want %x", i, got, want)
		}
	}
	for step := 1; step < 2*BlockSize; step++ {
		d := New512()
		for p := msg; len(p) > 0; p = p[min(step, len(p)):] {
			d.Write(p[:min(step, len(p))])
		}
		if got := d.Sum(nil); !bytes.Equal(got, want[:]) {
			t.Fatalf("pieces of %d: %x, want %x", step, got, want)
		}
	}
}

func TestReset(t *testing.T) {
	for _, h := range []hash.Hash{New256(), New512()} {
		empty := h.Sum(nil)
		h.Write([]byte("something"))
		h.Reset()
		if !bytes.Equal(h.Sum(nil), empty) {
			t.Errorf("Reset of Streebog-%d does not go back to the start", 8*h.Size())
		}
		if len(empty) != h.Size() || h.BlockSize() != BlockSize {
			t.Errorf("sizes of Streebog-%d: digest %d, block %d", 8*h.Size(), len(empty), h.BlockSize())
		}
	}
}

func TestClone(t *testing.T) {
	h := New256()
	h.Write([]byte("common "))
	c, err := h.(hash.Cloner).Clone()
	if err != nil {
		t.Fatal(err)
	}
	h.Write([]byte("left"))
	c.Write([]byte("right"))
	left, right := Sum256([]byte("common left")), Sum256([]byte("common right"))
	if !bytes.Equal(h.Sum(nil), left[:]) || !bytes.Equal(c.Sum(nil), right[:]) {
		t.Error("a clone shares state with its origin")
	}
}

// TestConstants compares the constants in the source with the file that several implementations share.
func TestConstants(t *testing.T) {
	f := load(t)
	if !bytes.Equal(pi[:], f.Constants.Pi) {
		t.Error("pi differs")
	}
	for i, row := range f.Constants.A {
		if v, err := strconv.ParseUint(row, 16, 64); err != nil || v != matrix[i] {
			t.Errorf("row %d of A differs", i)
		}
	}
	for i, c := range f.Constants.C {
		for j := range 8 {
			w := c[8*(7-j) : 8*(8-j)]
			if v, _ := strconv.ParseUint(hex.EncodeToString(w), 16, 64); v != iterate[i][j] {
				t.Errorf("word %d of C%d differs", j, i+1)
			}
		}
	}
}

func TestAllocations(t *testing.T) {
	msg := make([]byte, 1000)
	sum := make([]byte, 0, Size512)
	h := New512()
	if n := testing.AllocsPerRun(100, func() {
		h.Reset()
		h.Write(msg)
		sum = h.Sum(sum[:0])
	}); n != 0 {
		t.Errorf("hashing allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { Sum256(msg) }); n != 0 {
		t.Errorf("Sum256 allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { New256() }); n > 1 {
		t.Errorf("New256 allocates %v times", n)
	}
}

func FuzzStreebog(f *testing.F) {
	f.Add([]byte(""), uint16(0))
	f.Add([]byte("012345678901234567890123456789012345678901234567890123456789012"), uint16(5))
	f.Add(bytes.Repeat([]byte{0xff}, 200), uint16(64))
	f.Fuzz(func(t *testing.T, msg []byte, at uint16) {
		i := min(int(at), len(msg))
		for _, h := range []hash.Hash{New256(), New512()} {
			h.Write(msg)
			want := h.Sum(nil)
			h.Reset()
			h.Write(msg[:i])
			c, _ := h.(hash.Cloner).Clone()
			h.Write([]byte("noise"))
			c.Write(msg[i:])
			if got := c.Sum(nil); !bytes.Equal(got, want) {
				t.Errorf("split at %d of %d: %x, want %x", i, len(msg), got, want)
			}
		}
	})
}

func benchmark(b *testing.B, h hash.Hash, size int) {
	msg := make([]byte, size)
	sum := make([]byte, 0, Size512)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		h.Reset()
		h.Write(msg)
		sum = h.Sum(sum[:0])
	}
}

func Benchmark256(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 64 << 10} {
		b.Run(strconv.Itoa(size), func(b *testing.B) { benchmark(b, New256(), size) })
	}
}

func Benchmark512(b *testing.B) {
	b.Run("65536", func(b *testing.B) { benchmark(b, New512(), 64<<10) })
}
