package canon

import (
	"bytes"
	"testing"

	"github.com/epov-signer/epov/canon/xmltext"
)

// compareFollowed reads a document and follows each chain from some of its elements, all at once, and holds what comes of it
// to Apply. It returns how many agreed and how many were refused.
func compareFollowed(t *testing.T, doc []byte, chains [][]Transform) (made, refused int) {
	t.Helper()
	type run struct {
		node     Node
		chain    []Transform
		follower *Follower
		out      *bytes.Buffer
	}
	var runs []run
	hold := func(r run, err error) {
		want, wantErr := apply(doc, r.node, r.chain...)
		switch {
		case (err == nil) != (wantErr == nil), err == nil && !bytes.Equal(r.out.Bytes(), want):
			t.Fatalf("%+v %+v of %q:\nfollowed %q %v\napplied  %q %v", r.node, r.chain, doc, r.out, err, want, wantErr)
		case err == nil:
			made++
		default:
			known(t, err)
			refused++
		}
		r.follower.Close()
	}
	tok := xmltext.NewTokenizer(doc, xmltext.Limits{})
	for elements := 0; ; {
		kind, err := tok.Next()
		if kind == xmltext.StartElement && elements < 6 {
			elements++
			for _, chain := range chains {
				r := run{Node{Element: tok.Span().Start, Comments: elements%2 == 0}, chain, nil, new(bytes.Buffer)}
				f, err := Follow(tok, Job{Node: r.node, Chain: chain, W: r.out}, xmltext.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				r.follower = f
				runs = append(runs, r)
			}
		}
		left := runs[:0]
		for _, r := range runs {
			done, stepErr := false, err
			if err == nil {
				done, stepErr = r.follower.Step(kind)
			}
			if done || stepErr != nil {
				hold(r, stepErr)
			} else {
				left = append(left, r)
			}
		}
		if runs = left; err != nil || kind == xmltext.EOF {
			if len(runs) > 0 {
				t.Fatalf("%d elements of %q do not end", len(runs), doc)
			}
			return made, refused
		}
	}
}

var followed = [][]Transform{
	{{URI: ExclusiveURI}}, {{URI: ExclusiveCommentsURI}}, {{URI: ExclusiveURI, PrefixList: []string{"a", "#default"}}}, smevChain,
	{{URI: ExclusiveCommentsURI}, {URI: SMEVURI}}, {{URI: ExclusiveURI}, {URI: InclusiveURI}, {URI: SMEVURI}},
}

func TestFollowIsApply(t *testing.T) {
	made, refused := 0, 0
	for seed := range uint64(many(300)) {
		doc := []byte(sign(generate(9000+seed, seed%4 > 0), seed))
		if seed%7 == 0 {
			doc = bytes.Replace(doc, []byte("urn:b"), []byte("relative"), 1)
		}
		if seed%9 == 0 {
			doc = doc[:len(doc)-int(seed%5)]
		}
		m, r := compareFollowed(t, doc, followed)
		made, refused = made+m, refused+r
	}
	t.Logf("%d outputs and %d refusals of followers are those of Apply", made, refused)
	if made < many(1000) || refused < many(300) {
		t.Error("too few of either to mean much")
	}
}

// What needs more than the tokens from the start tag on is refused at once.
func TestFollowRefuses(t *testing.T) {
	for _, chain := range [][]Transform{
		nil, {{URI: InclusiveURI}}, {{URI: SMEVURI}}, {{URI: Base64URI}}, {{URI: "urn:unknown"}},
		{{URI: EnvelopedURI}, {URI: ExclusiveURI}}, {{URI: XPathURI, OmitSignatures: true}, {URI: ExclusiveURI}},
		{{URI: ExclusiveURI}, {URI: SMEVURI}, {URI: EnvelopedURI}},
	} {
		tok := xmltext.NewTokenizer([]byte("<a/>"), xmltext.Limits{})
		if _, err := tok.Next(); err != nil {
			t.Fatal(err)
		}
		if _, err := Follow(tok, Job{Chain: chain, W: new(bytes.Buffer)}, xmltext.Limits{}); err == nil {
			t.Errorf("%+v is followed", chain)
		}
	}
}

func FuzzFollow(f *testing.F) {
	seeds(f)
	f.Add([]byte(sign(generate(3, true), 1)))
	f.Fuzz(func(t *testing.T, doc []byte) { compareFollowed(t, doc, followed) })
}
