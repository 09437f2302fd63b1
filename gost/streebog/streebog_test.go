package streebog

import (
	"bytes"
	"crypto/hmac"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"testing"

	"github.com/epov-signer/epov/gost/streebog/internal/rfc6986"
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
	each(t, func(t *testing.T, im Implementation) {
		n := 0
		for _, group := range [][]message{f.RFC6986, f.Lengths, f.Checksum} {
			var msgs [][]byte
			for _, m := range group {
				msgs = append(msgs, m.input(t))
			}
			many256, many512 := manyOf(im, Size256, msgs), manyOf(im, Size512, msgs)
			for i, m := range group {
				for _, c := range []struct{ got, want []byte }{
					{digestOf(im, Size256, msgs[i]), m.Digest256}, {many256[i], m.Digest256},
					{digestOf(im, Size512, msgs[i]), m.Digest512}, {many512[i], m.Digest512},
				} {
					if !bytes.Equal(c.got, c.want) {
						t.Errorf("%s %s %d: digest is %x, want %x", m.Name, m.Pattern, len(msgs[i]), c.got, c.want)
					}
				}
				n++
				vectors.Outcome(t, "streebog", fmt.Sprint(n), "same octets", "same octets")
			}
		}
		t.Logf("%d messages, two digests each, alone and side by side", n)
	})
}

func TestHMAC(t *testing.T) {
	f := load(t)
	each(t, func(t *testing.T, im Implementation) {
		for i, v := range f.HMAC {
			for _, c := range []struct {
				new  func() hash.Hash
				want []byte
			}{{im.New256, v.MAC256}, {im.New512, v.MAC512}} {
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
	})
}

// TestSplit feeds a message in two and in many pieces, asking for the digest in between.
func TestSplit(t *testing.T) {
	msg := make([]byte, 3*BlockSize+7)
	for i := range msg {
		msg[i] = byte(i * 7)
	}
	each(t, func(t *testing.T, im Implementation) {
		want := digestOf(im, Size512, msg)
		for i := range msg {
			d := im.New512()
			d.Write(msg[:i])
			if got, part := d.Sum(nil), digestOf(im, Size512, msg[:i]); !bytes.Equal(got, part) {
				t.Fatalf("Sum after %d octets is %x, want %x", i, got, part)
			}
			d.Write(msg[i:])
			if got := d.Sum(nil); !bytes.Equal(got, want) {
				t.Fatalf("split at %d: %x, want %x", i, got, want)
			}
		}
		for step := 1; step < 2*BlockSize; step++ {
			d := im.New512()
			for p := msg; len(p) > 0; p = p[min(step, len(p)):] {
				d.Write(p[:min(step, len(p))])
			}
			if got := d.Sum(nil); !bytes.Equal(got, want) {
				t.Fatalf("pieces of %d: %x, want %x", step, got, want)
			}
		}
	})
}

func TestReset(t *testing.T) {
	each(t, func(t *testing.T, im Implementation) {
		for _, h := range []hash.Hash{im.New256(), im.New512()} {
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
	})
}

func TestClone(t *testing.T) {
	each(t, func(t *testing.T, im Implementation) {
		h := im.New256()
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
	})
}

// TestConstants compares the constants in the source with the file that several implementations share.
func TestConstants(t *testing.T) {
	f := load(t)
	if !bytes.Equal(rfc6986.Pi[:], f.Constants.Pi) {
		t.Error("pi differs")
	}
	for i, row := range f.Constants.A {
		if v, err := strconv.ParseUint(row, 16, 64); err != nil || v != rfc6986.A[i] {
			t.Errorf("row %d of A differs", i)
		}
	}
	for i, c := range f.Constants.C {
		for j := range 8 {
			w := c[8*(7-j) : 8*(8-j)]
			if v, _ := strconv.ParseUint(hex.EncodeToString(w), 16, 64); v != rfc6986.C[i][j] {
				t.Errorf("word %d of C%d differs", j, i+1)
			}
		}
	}
}
