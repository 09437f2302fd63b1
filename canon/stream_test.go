package canon

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/epov-signer/epov/canon/xmltext"
)

// attachment is a message with a base64 body of a given size, generated as it is read.
type attachment struct {
	head, tail string
	size, at   int // of the body, and how much of it has been read
}

var base64Line = strings.Repeat("MIICyTCCAnSgAwIBAgICEAMwCgYI", 3)[:76] + "\n"

func newAttachment(size int) *attachment {
	const open, end = `<m:Message xmlns:m="urn:m" xmlns:unused="urn:u">` + "\n" + `<m:Content encoding='base64'>`,
		`</m:Content></m:Message>`
	return &attachment{head: open, tail: end, size: size}
}

func (a *attachment) Read(p []byte) (n int, err error) {
	for n < len(p) {
		k := 0
		switch {
		case len(a.head) > 0:
			k = copy(p[n:], a.head)
			a.head = a.head[k:]
		case a.at < a.size:
			k = copy(p[n:], base64Line[a.at%len(base64Line):][:min(len(base64Line)-a.at%len(base64Line), a.size-a.at)])
			a.at += k
		case len(a.tail) > 0:
			k = copy(p[n:], a.tail)
			a.tail = a.tail[k:]
		default:
			return n, io.EOF
		}
		n += k
	}
	return n, nil
}

// canonicalAttachment writes what the chain, exclusive form or that and the SMEV transform, should make of it.
func canonicalAttachment(w io.Writer, size int, smev bool) {
	head, tail := `<m:Message xmlns:m="urn:m">`+"\n"+`<m:Content encoding="base64">`, `</m:Content></m:Message>`
	if smev {
		head, tail = `<ns1:Message xmlns:ns1="urn:m"><ns1:Content encoding="base64">`, `</ns1:Content></ns1:Message>`
	}
	a := &attachment{head: head, tail: tail, size: size}
	if _, err := io.Copy(w, a); err != nil {
		panic(err)
	}
}

// peak is a writer that notes how large the heap gets.
type peak struct {
	hash.Hash
	written, next int
	heap          uint64
}

func (p *peak) Write(b []byte) (int, error) {
	if p.written += len(b); p.written >= p.next {
		p.next += 8 << 20
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		p.heap = max(p.heap, m.HeapAlloc)
	}
	return p.Hash.Write(b)
}

// streamsFlat canonicalizes an attachment and checks the octets, and that the heap does not grow with them.
func streamsFlat(t *testing.T, size int) {
	for _, chain := range [][]Transform{smevChain[:1], smevChain} {
		t.Run(fmt.Sprint(len(chain)), func(t *testing.T) {
			runtime.GC()
			var before runtime.MemStats
			runtime.ReadMemStats(&before)
			out := &peak{Hash: sha256.New()}
			err := ApplyReader(out, newAttachment(size), Node{Whole: true}, chain, xmltext.Limits{Size: size + 1<<10})
			if err != nil {
				t.Fatal(err)
			}
			want := sha256.New()
			canonicalAttachment(want, size, len(chain) > 1)
			if !bytes.Equal(out.Sum(nil), want.Sum(nil)) {
				t.Error("other octets than expected")
			}
			const most = 8 << 20
			if out.heap > before.HeapAlloc+most {
				t.Errorf("the heap grew from %d to %d KiB", before.HeapAlloc>>10, out.heap>>10)
			}
			t.Logf("%d MiB canonicalized, heap at most %d KiB more than before", size>>20, max(int(out.heap)-int(before.HeapAlloc), 0)>>10)
		})
	}
}

func TestReaderMemory(t *testing.T) { streamsFlat(t, 48<<20) }

func TestGigabyte(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: 1 GiB takes seconds; run without -short")
	}
	streamsFlat(t, 1<<30)
}

// A long CDATA section and long white space come in pieces too.
func TestLongPieces(t *testing.T) {
	body := strings.Repeat("]]x\r\n\rЖ<&>", 40000)
	doc := []byte("<a xmlns='urn:a'><![CDATA[" + body + "]]>\n" + strings.Repeat(" ", 300000) + "<b>" +
		strings.Repeat("&#xD;&lt;>]", 40000) + "</b></a>")
	for _, chain := range [][]Transform{smevChain[:1], smevChain, {{URI: InclusiveURI}}} {
		want, err := apply(doc, Node{Whole: true}, chain...)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := ApplyReader(&got, bytes.NewReader(doc), Node{Whole: true}, chain, xmltext.Limits{}); err != nil ||
			!bytes.Equal(got.Bytes(), want) {
			t.Errorf("%d transforms: %v, %d octets, want %d", len(chain), err, got.Len(), len(want))
		}
	}
	doc = []byte("<a xmlns='urn:a'>" + strings.Repeat(" ", 300000) + "x</a>")
	err := ApplyReader(io.Discard, bytes.NewReader(doc), Node{Whole: true}, smevChain, xmltext.Limits{})
	if err == nil || !strings.Contains(err.Error(), "octets of white space before other text") {
		t.Errorf("error %v, want a refusal of the white space", err)
	}
}
