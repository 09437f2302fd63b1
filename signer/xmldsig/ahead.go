package xmldsig

import (
	"errors"
	"slices"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
)

// In messages of SMEV the elements that are digested can be told when they begin, before anything has said that they are.
// They are canonicalized while the outline is made, so that the document need not be read a second time. What comes of it
// is used only for a digest of the same element by the same transforms; where it was in vain, or was given up, the document
// is read again, as for all other signatures.
//
// TestAhead and FuzzAhead hold both ways against each other.

const (
	maxAhead       = 8         // elements of a document
	maxAheadOctets = 256 << 10 // of a document, and of one of them
)

// foresight is which elements will be digested, by the last step of their path.
type foresight map[string][]prospect

type prospect struct {
	path  string // the steps before the last
	chain []canon.Transform
	node  canon.Node
	named bool // only with an Id: it is referred to
}

// add foresees what a signature of a row covers.
func (f foresight) add(r *rule) {
	chain := make([]canon.Transform, len(r.profile.transforms))
	for i, uri := range r.profile.transforms {
		chain[i].URI = uri
	}
	for _, path := range r.covers {
		if path == appData || path == entity {
			continue // the Signature lies inside
		}
		parent, last := split(path)
		f[last] = append(f[last], prospect{path: parent, chain: chain, named: true})
	}
}

// Foresight of who signs by a profile, and of who verifies.
var (
	signing   = map[*Profile]foresight{}
	verifying = foresight{"ds:SignedInfo": {{
		path: "ds:Signature", chain: []canon.Transform{{URI: canon.ExclusiveURI}}, node: canon.Node{Comments: true},
	}}}
)

func init() {
	for i := range rules {
		r := &rules[i]
		if r.profile != SMEV3Personal { // content may have an Id and no signature of its own
			verifying.add(r)
		}
		if signing[r.profile] == nil {
			signing[r.profile] = foresight{}
		}
		signing[r.profile].add(r)
	}
}

// ahead are the canonicalizations that are made while a document is read.
type ahead struct {
	foresight foresight
	limits    xmltext.Limits
	running   []*canonicalized
	made      []*canonicalized // the running ones too
	spare     []*canonicalized
}

// canonicalized are the octets of an element.
type canonicalized struct {
	node     canon.Node
	chain    []canon.Transform
	follower *canon.Follower
	octets   []byte
	end      int // of the element; 0 until it is met
}

var errLong = errors.New("too long to be kept")

func (c *canonicalized) Write(p []byte) (int, error) {
	if len(c.octets)+len(p) > maxAheadOctets {
		return 0, errLong
	}
	c.octets = append(c.octets, p...)
	return len(p), nil
}

// foresee looks whether the element that has just been kept will be digested.
func (o *outline) foresee(t *xmltext.Tokenizer) {
	a, n := &o.ahead, len(o.nodes)-1
	if len(a.made) == maxAhead {
		return
	}
	for _, last := range [...]string{o.nodes[n].sym, "*"} {
		for _, p := range a.foresight[last] {
			if o.fitsProspect(n, p) {
				a.start(t, p)
				return
			}
		}
	}
}

// fitsProspect tells whether an element may be the one that p speaks of: all is not known yet.
func (o *outline) fitsProspect(n int, p prospect) bool {
	if p.named && !slices.ContainsFunc(o.nodes[n].attrs, func(a attribute) bool { return isID(a.space, a.local) }) {
		return false
	}
	for rest := p.path; rest != ""; {
		var step string
		rest, step = split(rest)
		if n = o.nodes[n].parent; n < 0 || o.nodes[n].sym != step {
			return false
		}
	}
	return true
}

// start begins with the element whose start tag is the current token.
func (a *ahead) start(t *xmltext.Tokenizer, p prospect) {
	c := new(canonicalized)
	if last := len(a.spare) - 1; last >= 0 {
		c, a.spare = a.spare[last], a.spare[:last]
	}
	*c = canonicalized{node: p.node, chain: p.chain, octets: c.octets[:0]}
	c.node.Element = t.Span().Start
	a.made = append(a.made, c)
	var err error
	if c.follower, err = canon.Follow(t, canon.Job{Node: c.node, Chain: c.chain, W: c}, a.limits); err == nil {
		a.running = append(a.running, c)
		if _, err = c.follower.Step(xmltext.StartElement); err != nil {
			a.stop(len(a.running) - 1)
		}
	}
}

// step takes the current token.
func (a *ahead) step(t *xmltext.Tokenizer, kind xmltext.Kind) {
	for i := len(a.running) - 1; i >= 0; i-- {
		done, err := a.running[i].follower.Step(kind)
		if done && err == nil {
			a.running[i].end = t.Span().End
		}
		if done || err != nil {
			a.stop(i)
		}
	}
}

func (a *ahead) stop(i int) {
	a.running[i].follower.Close()
	a.running[i].follower = nil
	a.running = slices.Delete(a.running, i, i+1)
}

// octets returns what a chain makes of a node, if that was foreseen, and where the node ends.
func (a *ahead) octets(node canon.Node, chain []canon.Transform) (octets []byte, end int, ok bool) {
	for _, c := range a.made {
		if c.end > 0 && c.node == node && slices.EqualFunc(c.chain, chain, sameTransform) {
			return c.octets, c.end, true
		}
	}
	return nil, 0, false
}

// sameTransform compares a foreseen transform, which has no parameters, with another.
func sameTransform(foreseen, t canon.Transform) bool {
	return foreseen.URI == t.URI && len(t.PrefixList) == 0
}

// release keeps the buffers and nothing else.
func (a *ahead) release() {
	for len(a.running) > 0 {
		a.stop(len(a.running) - 1)
	}
	a.spare, a.made, a.foresight = append(a.spare, a.made...), a.made[:0], nil
}
