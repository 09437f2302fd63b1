package streebog

import (
	"bytes"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"testing"

	"github.com/epov-signer/epov/internal/oracle"
)

// each runs a test once for every implementation that this processor has.
func each(t *testing.T, test func(t *testing.T, im Implementation)) {
	for _, im := range Implementations() {
		t.Run(im.String(), func(t *testing.T) { test(t, im) })
	}
}

// digestOf is what im makes of msg.
func digestOf(im Implementation, size int, msg []byte) []byte {
	h := newDigest(im.im, size)
	h.Write(msg)
	return h.Sum(nil)
}

// manyOf is what im makes of msgs when it takes them side by side.
func manyOf(im Implementation, size int, msgs [][]byte) [][]byte {
	sums := make([][]byte, len(msgs))
	sumMany(im.im, size, msgs, func(i int) []byte {
		sums[i] = make([]byte, size)
		return sums[i]
	})
	return sums
}

// TestImplementations tells which implementations the other tests cover on this processor.
func TestImplementations(t *testing.T) {
	var names []string
	for _, im := range Implementations() {
		names = append(names, im.String())
	}
	t.Log("on this processor, in use first: ", strings.Join(names, ", "))
	if names[len(names)-1] != "generic" {
		t.Error("the reference is not the last resort")
	}
	h := New512()
	h.Write(bytes.Repeat([]byte{1}, 100))
	if got := digestOf(Implementations()[0], Size512, bytes.Repeat([]byte{1}, 100)); !bytes.Equal(h.Sum(nil), got) {
		t.Error("New512 is not the first implementation")
	}
}

// TestCarries lets N and Σ carry through all their words, which no message short enough for a test does, and compares the
// whole state with the reference.
func TestCarries(t *testing.T) {
	each(t, func(t *testing.T, im Implementation) {
		for from := range 8 {
			var begin state
			for i := range 8 {
				begin.h[i] = uint64(i) * 0x0123456789abcdef
				if i >= from {
					begin.n[i], begin.sigma[i] = ^uint64(0), ^uint64(0)
				}
			}
			begin.n[0] |= 1<<64 - 512 // the next block carries out of the lowest word
			msg := bytes.Repeat([]byte{0xff}, 3*BlockSize)
			msg[BlockSize], msg[8*from] = 1, 1
			want := begin
			blocksGeneric(&want, msg)
			alone := begin
			if alone.blocks(im.im, msg); alone != want {
				t.Errorf("all ones from word %d: %x, want %x", from, alone, want)
			}
			for active := 1; active <= lanes; active++ {
				got := [lanes]state{begin, begin, begin, begin}
				blocksMany(im.im, &[lanes]*state{&got[0], &got[1], &got[2], &got[3]}, &[lanes][]byte{msg, msg, msg, msg}, active, 3)
				for i := range active {
					if got[i] != want {
						t.Errorf("lane %d of %d, all ones from word %d: %x, want %x", i, active, from, got[i], want)
					}
				}
			}
		}
	})
}

// TestMany hashes batches of every size up to a few rounds of lanes, of equal and of mixed lengths.
func TestMany(t *testing.T) {
	each(t, func(t *testing.T, im Implementation) {
		text := make([]byte, 2000)
		for i := range text {
			text[i] = byte(i * i >> 3)
		}
		for _, length := range []func(i int) int{
			func(i int) int { return 64 },
			func(i int) int { return 7 * i },
			func(i int) int { return 1500 - 100*i },
			func(i int) int { return i * i * 37 % 900 },
		} {
			for n := range 3*lanes + 2 {
				var msgs [][]byte
				for i := range n {
					msgs = append(msgs, text[i:i+length(i)])
				}
				for _, size := range []int{Size256, Size512} {
					for i, got := range manyOf(im, size, msgs) {
						if want := digestOf(Implementation{generic}, size, msgs[i]); !bytes.Equal(got, want) {
							t.Errorf("message %d of %d, %d octets: %x, want %x", i, n, len(msgs[i]), got, want)
						}
					}
				}
			}
		}
	})
	msgs := [][]byte{[]byte("one"), nil, []byte("three")}
	sums256, sums512 := make([][Size256]byte, 3), make([][Size512]byte, 3)
	SumMany256(sums256, msgs)
	SumMany512(sums512, msgs)
	for i, m := range msgs {
		if sums256[i] != Sum256(m) || sums512[i] != Sum512(m) {
			t.Errorf("message %d differs from Sum256 or Sum512", i)
		}
	}
}

// TestLong crosses the bound of one call of assembly.
func TestLong(t *testing.T) {
	msg := make([]byte, maxBlocks*BlockSize+3*BlockSize+5)
	for i := range msg {
		msg[i] = byte(i % 251)
	}
	want := digestOf(Implementation{generic}, Size512, msg)
	each(t, func(t *testing.T, im Implementation) {
		if got := digestOf(im, Size512, msg); !bytes.Equal(got, want) {
			t.Errorf("digest is %x, want %x", got, want)
		}
		for i, got := range manyOf(im, Size512, [][]byte{msg, msg, msg, msg, msg}) {
			if !bytes.Equal(got, want) {
				t.Errorf("digest %d is %x, want %x", i, got, want)
			}
		}
	})
}

// TestOpenSSL compares with the gost engine.
func TestOpenSSL(t *testing.T) {
	each(t, func(t *testing.T, im Implementation) {
		for _, length := range []int{0, 1, 63, 64, 65, 1000, 100_003} {
			msg := make([]byte, length)
			for i := range msg {
				msg[i] = byte(i*i + length)
			}
			for size, name := range map[int]string{Size256: "md_gost12_256", Size512: "md_gost12_512"} {
				want, err := oracle.OpenSSL(t, msg, "dgst", "-"+name, "-binary")
				if err != nil {
					t.Fatal(err)
				}
				if got := digestOf(im, size, msg); !bytes.Equal(got, want) {
					t.Errorf("%s of %d octets is %x, OpenSSL says %x", name, length, got, want)
				}
			}
		}
	})
}

// FuzzStreebogPaths compares the implementations with the reference: alone, split in two, and side by side.
func FuzzStreebogPaths(f *testing.F) {
	f.Add([]byte(""), uint16(0))
	f.Add([]byte("012345678901234567890123456789012345678901234567890123456789012"), uint16(5))
	f.Add(bytes.Repeat([]byte{0xff}, 300), uint16(64))
	f.Fuzz(func(t *testing.T, msg []byte, at uint16) {
		i := min(int(at), len(msg))
		msgs := [][]byte{msg, msg[:i], msg[i:], msg[i/2:], msg[:i/2], msg}
		for _, size := range []int{Size256, Size512} {
			var want [][]byte
			for _, m := range msgs {
				want = append(want, digestOf(Implementation{generic}, size, m))
			}
			for _, im := range Implementations() {
				for j, got := range manyOf(im, size, msgs) {
					if alone := digestOf(im, size, msgs[j]); !bytes.Equal(alone, want[j]) || !bytes.Equal(got, want[j]) {
						t.Errorf("%s, message %d: %x alone, %x of many, want %x", im, j, alone, got, want[j])
					}
				}
				h := newDigest(im.im, size)
				h.Write(msg[:i])
				c, _ := h.Clone()
				h.Write([]byte("noise"))
				c.Write(msg[i:])
				if got := c.Sum(nil); !bytes.Equal(got, want[0]) {
					t.Errorf("%s, split at %d of %d: %x, want %x", im, i, len(msg), got, want[0])
				}
			}
		}
	})
}

// TestAllocations holds hashing to no allocation.
func TestAllocations(t *testing.T) {
	msg := make([]byte, 1000)
	sum := make([]byte, 0, Size512)
	each(t, func(t *testing.T, im Implementation) {
		h := im.New512()
		if n := testing.AllocsPerRun(100, func() {
			h.Reset()
			h.Write(msg)
			sum = h.Sum(sum[:0])
		}); n != 0 {
			t.Errorf("hashing allocates %v times", n)
		}
		if n := testing.AllocsPerRun(100, func() { im.New256() }); n > 1 {
			t.Errorf("New256 allocates %v times", n)
		}
	})
	if n := testing.AllocsPerRun(100, func() { Sum256(msg) }); n != 0 {
		t.Errorf("Sum256 allocates %v times", n)
	}
	msgs, sums := [][]byte{msg, msg[:70], msg, nil, msg, msg[3:]}, make([][Size256]byte, 6)
	if n := testing.AllocsPerRun(100, func() { SumMany256(sums, msgs) }); n != 0 {
		t.Errorf("SumMany256 allocates %v times", n)
	}
}

func BenchmarkHash(b *testing.B) {
	for _, im := range Implementations() {
		for _, c := range []struct {
			size int
			new  func() hash.Hash
		}{{64, im.New256}, {1 << 10, im.New256}, {64 << 10, im.New256}, {64 << 10, im.New512}} {
			h, msg, sum := c.new(), make([]byte, c.size), make([]byte, 0, Size512)
			b.Run(fmt.Sprintf("%s/%d/%d", im, 8*h.Size(), c.size), func(b *testing.B) {
				b.SetBytes(int64(c.size))
				b.ReportAllocs()
				for b.Loop() {
					h.Reset()
					h.Write(msg)
					sum = h.Sum(sum[:0])
				}
			})
		}
	}
}

func BenchmarkMany(b *testing.B) {
	for _, n := range []int{1, 2, 3, 4, 16} {
		for _, size := range []int{64, 1 << 10, 64 << 10} {
			b.Run(strconv.Itoa(n)+"x"+strconv.Itoa(size), func(b *testing.B) {
				msgs, sums := make([][]byte, n), make([][Size256]byte, n)
				for i := range msgs {
					msgs[i] = make([]byte, size)
				}
				b.SetBytes(int64(n * size))
				b.ReportAllocs()
				for b.Loop() {
					SumMany256(sums, msgs)
				}
			})
		}
	}
}
