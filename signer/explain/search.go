package explain

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
)

// What one message may cost. A message of 1 MiB comes through all single mistakes and some of the pairs.
const (
	maxOctets          = 512 << 20 // that are canonicalized, edited or digested
	leastOctets        = 16 << 20  // for each digest and each value, though the message has used up its share,
	moreOctets         = 256 << 20 // as long as these last
	maxVerifications   = 20000
	leastVerifications = 2000 // and as above
	moreVerifications  = 20000
	smallOctets        = 64 << 10 // of these, every hash is tried in every case
)

// search is the work on one message.
type search struct {
	ctx           context.Context
	limits        xmltext.Limits
	octets        int64 // left
	verifications int   // left
	exhausted     bool  // of the present part

	moreOctets        int64 // that are left for parts that begin when the budget is used up
	moreVerifications int
}

func newSearch(ctx context.Context, limits xmltext.Limits, o Options) *search {
	s := &search{
		ctx: ctx, limits: limits, octets: maxOctets, verifications: maxVerifications,
		moreOctets: moreOctets, moreVerifications: moreVerifications,
	}
	if o.Thorough {
		s.octets, s.verifications = math.MaxInt64, math.MaxInt
	}
	return s
}

// next begins another part of the work.
func (s *search) next() {
	s.exhausted = false
	if more := min(leastOctets-s.octets, s.moreOctets); more > 0 {
		s.octets, s.moreOctets = s.octets+more, s.moreOctets-more
	}
	if more := min(leastVerifications-s.verifications, s.moreVerifications); more > 0 {
		s.verifications, s.moreVerifications = s.verifications+more, s.moreVerifications-more
	}
}

// spend takes n octets out of the budget; false when there are none left.
func (s *search) spend(n int) bool {
	s.octets -= int64(n)
	if s.octets < 0 || s.ctx.Err() != nil {
		s.exhausted = true
	}
	return !s.exhausted
}

// source is a way to get at octets: a document, a part of it, and what is made of that.
type source struct {
	doc       []byte
	node      canon.Node
	raw       bool // the part as it stands: [node.Element, end)
	end       int
	signature int // offset of the ds:Signature whose transforms these are, in doc
	chain     []canon.Transform
	variant   *smevVariant // takes the place of the SMEV transform in chain
	depth     int          // of the element in its document
	mistakes  []Mistake
	what      []string
	other     int // index of the element that is taken instead, -1 for none
}

// with returns a copy with one more mistake.
func (s source) with(m Mistake, what string) source {
	s.mistakes = append(slices.Clone(s.mistakes), m)
	if what != "" {
		s.what = append(slices.Clone(s.what), what)
	}
	return s
}

var errBudget = errors.New("the budget is used up")

// stated makes the octets as a verifier does, who refuses some chains that run goes through with.
func (s *search) stated(src *source) ([]byte, error) {
	if !s.spend(src.end) {
		return nil, errBudget
	}
	var out bytes.Buffer
	err := canon.Apply(&out, src.doc, src.node, src.chain, s.limits)
	return out.Bytes(), err
}

// run makes the octets.
func (s *search) run(src *source) ([]byte, error) {
	if src.raw {
		return src.doc[src.node.Element:src.end], nil
	}
	doc, node, chain := src.doc, src.node, slices.Clone(src.chain)
	for i := range chain {
		if chain[i].URI == canon.EnvelopedURI {
			chain[i].Signature = src.signature
		}
	}
	for {
		at := slices.IndexFunc(chain, func(t canon.Transform) bool { return t.URI == canon.SMEVURI })
		part := chain
		if at >= 0 {
			part = chain[:at]
		}
		if !s.spend(len(doc)) {
			return nil, errBudget
		}
		var out bytes.Buffer
		whole := at == 0 && node.Whole && node.Comments // octets already
		if at >= 0 && src.variant == nil && !whole {
			part = chain[:at+1]
		}
		if len(part) > 0 || !whole {
			if err := canon.Apply(&out, doc, node, part, s.limits); err != nil {
				return nil, err
			}
			doc = out.Bytes()
		}
		if at < 0 {
			return doc, nil
		}
		if src.variant != nil || whole {
			variant := src.variant
			if variant == nil {
				variant = &smevVariant{}
			}
			var err error
			if doc, err = variant.apply(doc, s.limits); err != nil {
				return nil, err
			}
		}
		chain = chain[at+1:]
		chain = slices.DeleteFunc(slices.Clone(chain), func(t canon.Transform) bool { return t.URI == canon.EnvelopedURI })
		if len(chain) == 0 {
			return doc, nil
		}
		node = canon.Node{Whole: true, Comments: true}
	}
}
