package canon

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/epov-signer/epov/canon/xmltext"
)

// describe is an error in full, for comparison.
func describe(err error) string {
	if err == nil {
		return "none"
	}
	return fmt.Sprintf("%T %v", err, err)
}

// staged is Apply without fusing stages.
func staged(doc []byte, node Node, chain ...Transform) ([]byte, error) {
	var out bytes.Buffer
	p := &processor{staged: true}
	err := p.apply(&out, doc, node, chain, xmltext.Limits{})
	return out.Bytes(), err
}

// elements are the offsets of the start tags of a document, and those of ds:Signature elements.
func elements(doc []byte) (all, signatures []int) {
	tok := xmltext.NewTokenizer(doc, xmltext.Limits{})
	for {
		kind, err := tok.Next()
		if err != nil || kind == xmltext.EOF {
			return all, signatures
		}
		if kind == xmltext.StartElement {
			all = append(all, tok.Span().Start)
			if n := tok.Name(); string(n.Space) == dsigURI && string(n.Local) == "Signature" {
				signatures = append(signatures, tok.Span().Start)
			}
		}
	}
}

// sign puts ds:Signature elements into a document, between pieces of text too.
func sign(doc string, seed uint64) string {
	random := newRandom(seed)
	var b strings.Builder
	for i, part := range strings.SplitAfter(doc, ">") {
		b.WriteString(part)
		inText := i > 2 && !strings.Contains(part, "<!") && !strings.Contains(part, "<?") && strings.HasPrefix(part, "<")
		if inText && random.IntN(6) == 0 {
			b.WriteString("a<s:Signature xmlns:s='" + dsigURI + "'><s:x/>t</s:Signature>]")
		}
	}
	return b.String()
}

// compareRoutes holds the fused route to the staged one.
func compareRoutes(t *testing.T, doc []byte, node Node, chain []Transform) (accepted bool) {
	t.Helper()
	want, wantErr := staged(doc, node, chain...)
	got, err := apply(doc, node, chain...)
	if describe(err) != describe(wantErr) || err == nil && !bytes.Equal(got, want) {
		t.Fatalf("%+v %+v of %q:\nfused  %q %v\nstaged %q %v", node, chain, doc, got, err, want, wantErr)
	}
	return err == nil
}

// fusedChains are the chains that are fused, for a document with these ds:Signature elements.
func fusedChains(signatures []int) [][]Transform {
	exclusive, smev := Transform{URI: ExclusiveURI}, Transform{URI: SMEVURI}
	chains := [][]Transform{
		smevChain,
		{{URI: ExclusiveURI, PrefixList: []string{"a", "#default"}}, smev},
		{{URI: XPathURI, OmitSignatures: true}, exclusive, smev},
	}
	for _, s := range signatures[:min(len(signatures), 3)] {
		enveloped := Transform{URI: EnvelopedURI, Signature: s}
		chains = append(chains, []Transform{enveloped, exclusive, smev}, []Transform{exclusive, smev, enveloped})
	}
	return chains
}

func TestFusedIsStaged(t *testing.T) {
	accepted, refused := 0, 0
	for seed := range uint64(many(400)) {
		doc := generate(6000+seed, seed%4 > 0)
		if seed%2 == 0 {
			doc = sign(doc, seed)
		}
		if seed%10 == 0 { // damaged
			doc = doc[:len(doc)-int(seed%7)]
		}
		if seed%11 == 0 {
			doc = strings.Replace(doc, "urn:b", "relative", 1)
		}
		offsets, signatures := elements([]byte(doc))
		nodes := []Node{{Whole: true}, {Whole: true, Comments: true}}
		for _, at := range offsets[:min(len(offsets), 4)] {
			nodes = append(nodes, Node{Element: at})
		}
		for _, node := range nodes {
			for _, chain := range fusedChains(signatures) {
				if compareRoutes(t, []byte(doc), node, chain) {
					accepted++
				} else {
					refused++
				}
			}
		}
	}
	t.Logf("%d outputs and %d refusals of the fused route are those of the staged one", accepted, refused)
	if accepted < many(1000) || refused < many(1000) {
		t.Error("too few of either to mean much")
	}
}

// Blocks that are put together of pieces, refusals that come in another order, and what the bound says.
func TestFusedCases(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for _, doc := range []string{
		`<a xmlns="urn:a"> <!--c-->x<![CDATA[ > ]]>]<!--d-->></a>`,
		`<a xmlns="urn:a"> <!--c--> <![CDATA[ ]]> </a>`,
		`<a xmlns="urn:a"> <?p?>x<?q?> </a>`,
		`<a xmlns="urn:a">0123456789&amp;<!--c-->></a>`,
		`<a xmlns="urn:a">0123456789<![CDATA[&]]>></a>`,
		"<a xmlns='urn:a'>\u0085\u00A0\u007F<b/>\u00A0</a>",
		`<a xmlns="urn:a">` + strings.Repeat("ж>", 600) + `<![CDATA[>]]>&#xD;></a>`,
		`<a><b xmlns="relative"/></a>`,
		`<a xml:lang="ru" xmlns="urn:a"><b></a>`,
		`<a xmlns:p="urn:` + long + `">` + strings.Repeat("<p:b/>", 5000) + `</a>`,
		`<p:a xmlns:p="urn:` + long + `">` + strings.Repeat("<p:b/>", 5000) + `</p:a>`,
	} {
		compareRoutes(t, []byte(doc), Node{Whole: true}, smevChain)
	}
}

func TestFusedWriteError(t *testing.T) {
	for _, doc := range []string{`<a xmlns="urn:a"/>`, `<a xmlns="urn:a"/><`, `<a/>`} {
		_, want := staged([]byte(doc), Node{Whole: true}, smevChain...)
		if want == nil {
			want = io.ErrClosedPipe
		}
		err := Apply(&brokenWriter{}, []byte(doc), Node{Whole: true}, smevChain, xmltext.Limits{})
		if describe(err) != describe(want) {
			t.Errorf("%s: error %v, want %v", doc, err, want)
		}
	}
}

func FuzzFused(f *testing.F) {
	seeds(f)
	f.Add([]byte(sign(generate(3, true), 1)))
	f.Fuzz(func(t *testing.T, doc []byte) {
		offsets, signatures := elements(doc)
		for _, chain := range fusedChains(signatures) {
			compareRoutes(t, doc, Node{Whole: true}, chain)
			if len(offsets) > 1 {
				compareRoutes(t, doc, Node{Element: offsets[1]}, chain)
			}
		}
	})
}

// jobsFor are jobs of every kind for a document, nested and overlapping, some of which are refused.
func jobsFor(doc []byte, seed uint64) []Job {
	random := newRandom(seed)
	offsets, signatures := elements(doc)
	chains := append(fusedChains(signatures), nil, []Transform{{URI: Base64URI}},
		[]Transform{{URI: ExclusiveURI}, {URI: InclusiveURI}, {URI: SMEVURI}}, []Transform{{URI: "urn:unknown"}},
		[]Transform{{URI: Filter2URI, OmitSignatures: true}})
	for _, f := range forms {
		chains = append(chains, []Transform{{URI: f.uri}})
	}
	var jobs []Job
	for range 1 + random.IntN(8) {
		node := Node{Whole: true, Comments: random.IntN(2) == 0}
		if len(offsets) > 0 && random.IntN(4) > 0 {
			node = Node{Element: offsets[random.IntN(len(offsets))]}
		} else if random.IntN(20) == 0 {
			node = Node{Element: 1}
		}
		jobs = append(jobs, Job{Node: node, Chain: chains[random.IntN(len(chains))]})
	}
	return jobs
}

func TestApplyAllIsApply(t *testing.T) {
	accepted := 0
	for seed := range uint64(many(500)) {
		doc := []byte(sign(generate(7000+seed, seed%3 > 0), seed))
		if seed%9 == 0 {
			doc = doc[:len(doc)-int(seed%5)]
		}
		jobs := jobsFor(doc, seed)
		outs := make([]bytes.Buffer, len(jobs))
		for i := range jobs {
			jobs[i].W = &outs[i]
		}
		for i, err := range ApplyAll(doc, jobs, xmltext.Limits{}) {
			want, wantErr := apply(doc, jobs[i].Node, jobs[i].Chain...)
			if describe(err) != describe(wantErr) || err == nil && !bytes.Equal(outs[i].Bytes(), want) {
				t.Fatalf("seed %d, job %d of %+v:\nin  %q\ngot  %q %v\nwant %q %v", seed, i, jobs, doc, outs[i].Bytes(), err, want, wantErr)
			}
			if err == nil {
				accepted++
			}
		}
	}
	t.Logf("%d outputs like Apply's", accepted)
}

// bundle is a document of about size octets with elements of many generated ones.
func bundle(seed uint64, size int) []byte {
	b := []byte(`<x xmlns="urn:a:b" xmlns:a="urn:x">`)
	for ; len(b) < size; seed += 10000 {
		doc := []byte(generate(seed, true))
		offsets, _ := elements(doc)
		end := bytes.LastIndex(doc, []byte("</"))
		if end = end + bytes.IndexByte(doc[max(end, 0):], '>') + 1; end > offsets[0] {
			b = append(b, doc[offsets[0]:end]...)
		}
	}
	return append(b, "</x>"...)
}

// shredded delivers a document in pieces of random length.
type shredded struct {
	rest []byte
	next func() int
}

func (r *shredded) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest[:min(len(r.rest), r.next())])
	r.rest = r.rest[n:]
	return n, nil
}

func TestApplyReaderIsApply(t *testing.T) {
	accepted := 0
	for seed := range uint64(many(400)) {
		doc := []byte(sign(generate(8000+seed, seed%3 > 0), seed))
		if seed%9 == 0 {
			doc = doc[:len(doc)-int(seed%5)]
		}
		if seed%40 == 0 { // several windows of it
			doc = bundle(8000+seed, 200<<10)
		}
		random := newRandom(seed)
		for _, job := range jobsFor(doc, seed) {
			want, wantErr := apply(doc, job.Node, job.Chain...)
			readers := []io.Reader{
				bytes.NewReader(doc), iotest.OneByteReader(bytes.NewReader(doc)), iotest.DataErrReader(bytes.NewReader(doc)),
				&shredded{doc, func() int { return random.IntN(400) }},
			}
			var out bytes.Buffer
			err := ApplyReader(&out, readers[seed%4], job.Node, job.Chain, xmltext.Limits{})
			if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(out.Bytes(), want) {
				t.Fatalf("seed %d: %+v\nin  %q\ngot  %q %v\nwant %q %v", seed, job, doc, out.Bytes(), err, want, wantErr)
			}
			fused := slices.ContainsFunc(job.Chain, func(t Transform) bool { return t.URI == SMEVURI })
			if !fused && describe(err) != describe(wantErr) {
				t.Fatalf("seed %d: error %v, want %v, of %q", seed, err, wantErr, doc)
			}
			if err == nil {
				accepted++
			}
		}
	}
	t.Logf("%d outputs like Apply's", accepted)
}
