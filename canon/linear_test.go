package canon

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epov-signer/epov/canon/xmltext"
)

// hostile are documents of about n octets each that would take more than linear time where something is searched, joined
// or compared over and over.
var hostile = []struct {
	name string
	make func(n int) string
}{
	{"attributes", func(n int) string {
		var b strings.Builder
		for b.WriteString("<a>"); b.Len() < n; b.WriteString("/>") {
			b.WriteString("<b")
			for i := range 250 {
				fmt.Fprintf(&b, " aaaaaaaaaaaaaaaa%d=''", 250-i)
			}
		}
		return b.String() + "</a>"
	}},
	{"one element with ever more attributes", func(n int) string {
		var b strings.Builder
		b.WriteString("<a")
		for i := 0; b.Len() < n; i++ {
			fmt.Fprintf(&b, " a%d=''", (i*7919)%1000003)
		}
		return b.String() + "/>"
	}},
	{"declarations at each depth", func(n int) string {
		var b, end strings.Builder
		b.WriteString("<a xmlns:q='urn:q' xmlns='urn:a'>")
		for i := range 240 {
			fmt.Fprintf(&b, "<a xmlns:pppppppp%d='urn:%s' xmlns:p='urn:%d'>", i, strings.Repeat("x", 20), i)
			end.WriteString("</a>")
		}
		for b.Len() < n {
			b.WriteString("<q:b/><pppppppp3:c/><p:d/>")
		}
		return b.String() + end.String() + "</a>"
	}},
	{"namespace names alike", func(n int) string {
		var b strings.Builder
		for range 2 {
			b.WriteString("<x:a xmlns:x='urn:x'")
			for i := range 120 {
				k := i + b.Len()
				fmt.Fprintf(&b, " xmlns:p%d='urn:%s%d' p%d:z=''", k, strings.Repeat("y", 60), k, k)
			}
			b.WriteString(">")
		}
		b.WriteString("<x:o xmlns:o='urn:" + strings.Repeat("y", 63) + "'>")
		for b.Len() < n {
			b.WriteString("<o:b/>")
		}
		return b.String() + "</x:o></x:a></x:a>"
	}},
	{"references", func(n int) string { return "<a xmlns='urn:a'>" + strings.Repeat("&amp;&#xD;&lt;x]", n/16) + "</a>" }},
	{"a reference with ever more digits", func(n int) string { return "<a xmlns='urn:a'>&#" + strings.Repeat("0", n) + "65;</a>" }},
	{"CDATA sections", func(n int) string {
		return "<a xmlns='urn:a'>" + strings.Repeat("x<![CDATA[y]]>", n/14) + "</a>"
	}},
	{"comments in text", func(n int) string { return "<a xmlns='urn:a'>" + strings.Repeat("x<!---->", n/8) + "</a>" }},
	{"instructions", func(n int) string { return "<a xmlns='urn:a'>" + strings.Repeat("<?x?>", n/5) + "</a>" }},
	{"brackets", func(n int) string { return "<a xmlns='urn:a'>" + strings.Repeat("]", n) + "</a>" }},
	{"depth", func(n int) string {
		one := strings.Repeat("<a>", 250) + strings.Repeat("</a>", 250)
		return "<a xmlns='urn:a'>" + strings.Repeat(one, n/len(one)) + "</a>"
	}},
	{"white space in tags", func(n int) string { return "<a" + strings.Repeat("\n", n) + "xmlns='urn:a'/>" }},
	{"a long value", func(n int) string { return "<a xmlns='urn:a' b='" + strings.Repeat("&quot;\t>", n/8) + "'/>" }},
	{"four-octet characters", func(n int) string { return "<a xmlns='urn:a'>" + strings.Repeat("\U0001F600", n/4) + "</a>" }},
	{"a damaged document", func(n int) string {
		return "<a xmlns='urn:a'>" + strings.Repeat("<b>\n", n/8) + strings.Repeat("</b>", n/8)
	}},
}

// spent is the processor time of this process.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Time is linear in the document, whatever is in it: four times the document must not take much more than four times as
// long, where a quadratic part would show as sixteen.
func TestLinearTime(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: takes seconds; run without -short")
	}
	limits := xmltext.Limits{Attributes: 1 << 20}
	routes := map[string]func(doc []byte) error{
		"exclusive": func(doc []byte) error {
			return Apply(io.Discard, doc, Node{Whole: true}, smevChain[:1], limits)
		},
		"SMEV": func(doc []byte) error { return Apply(io.Discard, doc, Node{Whole: true}, smevChain, limits) },
		"inclusive, from a reader": func(doc []byte) error {
			return ApplyReader(io.Discard, bytes.NewReader(doc), Node{Whole: true}, []Transform{{URI: InclusiveURI}}, limits)
		},
	}
	const size, times = 128 << 10, 4
	for _, h := range hostile {
		small, large := []byte(h.make(size)), []byte(h.make(times*size))
		for name, route := range routes {
			measure := func(doc []byte) time.Duration {
				var all []time.Duration
				for range 3 {
					start := spent()
					for n := 0; n < times*size; n += len(doc) { // the same octets in all
						_ = route(doc)
					}
					all = append(all, spent()-start)
				}
				return slices.Min(all)
			}
			growth := 0.0
			for range 4 { // a busy machine may be slow for a while, not for long
				growth = float64(measure(large)) / float64(measure(small)+200*time.Microsecond)
				if growth < 2.5 {
					break
				}
			}
			if growth >= 2.5 {
				t.Errorf("%s, %s: at %d times the size each octet takes %.1f times as long", h.name, name, times, growth)
			}
		}
	}
}

// Prefixes that begin alike are told apart as fast as others, though each name is looked for among hundreds.
func TestPrefixesAlike(t *testing.T) {
	make := func(prefix string) []byte {
		var b strings.Builder
		b.WriteString("<a")
		for i := range 250 {
			fmt.Fprintf(&b, " xmlns:"+prefix+"='urn:x'", i)
		}
		return []byte(b.String() + ">" + strings.Repeat("<"+fmt.Sprintf(prefix, 0)+":b/>", 20000) + "</a>")
	}
	measure := func(doc []byte) time.Duration {
		best := time.Hour
		for range 3 {
			start := spent()
			tok := xmltext.NewTokenizer(doc, xmltext.Limits{})
			for kind := xmltext.Text; kind != xmltext.EOF; {
				var err error
				if kind, err = tok.Next(); err != nil {
					t.Fatal(err)
				}
			}
			best = min(best, spent()-start)
		}
		return best
	}
	alike, others := make("pppppppppp%03d"), make("p%03dppppppppp")
	ratio := 0.0
	for range 6 { // a busy machine may be slow for a while, not for long
		if ratio = float64(measure(alike)) / float64(measure(others)+100*time.Microsecond); ratio < 1.8 {
			return
		}
	}
	t.Errorf("names with prefixes that begin alike take %.1f times as long as others", ratio)
}
