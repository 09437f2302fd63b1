package canon

// Exclusive canonicalization followed by the SMEV transform needs no octets in between. The canonicalizer decides as always
// what is selected and which namespaces it would declare, and refuses what it would refuse; but start tags, end tags and
// text go to the SMEV transform. What differs from reading canonical octets again is the text: it forms one block where
// CDATA sections, comments and elements that are left out lay between its pieces, but not across processing instructions,
// which canonical XML keeps.
//
// TestFusedIsStaged and FuzzFused hold the two routes against each other.

// fuses reports whether the chain is one that this serves.
func (p *processor) fuses() bool {
	s := p.stages
	return !p.staged && len(s) == 2 && s[1].form == nil && s[0].form != nil && s[0].form.exclusive && !s[0].form.comments
}
