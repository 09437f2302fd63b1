package xmldsig

import (
	"bytes"
	"errors"
	"hash"
	"io"
	"slices"
	"strings"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
)

// maxAttachments bounds the attachments of a message that are looked at.
const maxAttachments = 64

// attachments checks the files that messages of SMEV 3 name in the headers of their signed blocks (methodical recommendations
// 3.x, section 4.3): Hash is that of the file, and SignaturePKCS7 is a signature of it.
func (e *examiner) attachments() {
	if e.policy.Attachment == nil || !e.recognises() {
		return
	}
	seen := 0
	for n := range e.nodes {
		sym := e.nodes[n].sym
		if sym != "b:RefAttachmentHeader" && sym != "b:AttachmentHeader" || !e.isHeader(n) {
			continue
		}
		if seen++; seen > maxAttachments {
			e.report.Add(report.Check{Code: report.ReferenceLimit, Status: report.NotChecked, Place: e.place(n),
				Message: "only the first attachments were looked at"})
			return
		}
		e.attachment(n, sym == "b:RefAttachmentHeader")
	}
}

// isHeader tells the headers that belong to SMEV's own part of a block from what the parties may call so.
func (o *outline) isHeader(n int) bool {
	list := o.nodes[n].parent
	if list < 0 || o.nodes[list].sym != o.nodes[n].sym+"List" || o.nodes[list].parent < 0 {
		return false
	}
	block := o.nodes[list].parent
	return slices.ContainsFunc(signedPaths[o.nodes[block].sym], func(path string) bool { return o.lies(block, path) })
}

// attachment checks one header.
func (e *examiner) attachment(header int, byReference bool) {
	open := func(at int, message string) {
		e.report.Add(report.Check{Code: report.ReferenceDigest, Status: report.NotChecked, Place: e.place(at), Message: message})
	}
	name := "b:contentId"
	if byReference {
		name = "b:uuid"
	}
	names := e.named(header, name)
	if len(names) != 1 {
		e.report.Add(failed(e.fail(report.ProfileForm, header, "the header of an attachment has not exactly one %s", name[len("b:"):])))
		return
	}
	id := string(bytes.Trim(e.inner(names[0]), blanks))

	var want []byte
	hashes := e.named(header, "b:Hash")
	if byReference {
		var err error
		if len(hashes) == 1 {
			want, err = decode(e.inner(hashes[0]))
		}
		if len(hashes) != 1 || err != nil {
			e.report.Add(failed(e.fail(report.ProfileForm, header, "the header of an attachment has not one Hash in base64")))
			return
		}
	}
	file, err := e.file(header, id)
	switch {
	case err != nil:
		e.report.Add(failed(e.fail(report.ReferenceDigest, header, "the file of attachment %s cannot be read: %v", quote(id), err)))
		return
	case file == nil:
		open(header, "the file of attachment "+quote(id)+" is not at hand")
		return
	}
	signatures := e.named(header, "b:SignaturePKCS7")
	switch {
	case len(signatures) > 1:
		e.report.Add(failed(e.fail(report.ProfileForm, header, "more than one SignaturePKCS7 for an attachment")))
	case len(signatures) == 1:
		e.signedFile(id, signatures[0], want, file)
	case byReference:
		e.unsignedFile(id, header, hashes[0], want, file)
	default:
		open(header, "attachment "+quote(id)+" has no SignaturePKCS7: nothing covers its content")
	}
}

// inner is what an element holds as it is written; nothing where that is not only text without references.
func (o *outline) inner(n int) []byte {
	node := &o.nodes[n]
	text := o.doc[node.tag.End:max(node.tag.End, node.end.Start)]
	if bytes.ContainsAny(text, "<&") {
		return nil
	}
	return text
}

// file gets the octets of an attachment: from the message, or from who asked.
func (e *examiner) file(header int, id string) (io.Reader, error) {
	if e.nodes[header].sym == "b:AttachmentHeader" {
		n, err := e.content(header, id)
		switch {
		case err != nil:
			return nil, err
		case n >= 0:
			text := e.inner(n) // which several headers may mean
			if e.work += int64(len(text)); e.work > maxWorkAtLeast+maxWork*int64(len(e.doc)) {
				return nil, errTooMuch
			}
			octets, err := decode(text)
			return bytes.NewReader(octets), err
		}
	}
	return e.policy.Attachment(id)
}

// content finds the b:Content of an attachment in the message; -1 when it is not there, or is an xop:Include. No signature of
// the message covers it, so it must be the one that any reader finds: in its place, and the only one that could be meant.
func (e *examiner) content(header int, id string) (int, error) {
	if e.contents == nil {
		e.contents = e.attachmentContents()
	}
	if e.contents.odd {
		return -1, errors.New("an AttachmentContent of the message has not exactly one Id in plain text and one Content")
	}
	of := e.contents.byID[id]
	switch {
	case len(of) == 0:
		return -1, nil
	case len(of) > 1:
		return -1, errors.New("the message has more than one AttachmentContent with this Id")
	}
	list := e.nodes[of[0].node].parent
	if list < 0 || e.nodes[list].sym != "b:AttachmentContentList" || !e.inMessageOf(header, list) {
		return -1, errors.New("its AttachmentContent lies where no message of SMEV has it")
	}
	if _, elsewhere := e.include(of[0].content); elsewhere {
		return -1, nil
	}
	return of[0].content, nil
}

// contents are the b:AttachmentContent elements of a document.
type contents struct {
	byID map[string][]attachmentContent
	odd  bool // one has not exactly one Id in plain text and one Content
}

type attachmentContent struct {
	node, id, content int
	ids, contents     int // how many
}

// attachmentContents reads them all in one pass, for they may lie in each other and headers may be many.
func (e *examiner) attachmentContents() *contents {
	var all []attachmentContent
	index := map[int]int{} // of the node
	for n := range e.nodes {
		i, inside := index[e.nodes[n].parent]
		switch sym := e.nodes[n].sym; {
		case sym == "b:AttachmentContent":
			index[n] = len(all)
			all = append(all, attachmentContent{node: n})
		case inside && sym == "b:Id":
			all[i].id = n
			all[i].ids++
		case inside && sym == "b:Content":
			all[i].content = n
			all[i].contents++
		}
	}
	c := &contents{byID: map[string][]attachmentContent{}}
	for _, a := range all {
		if a.ids != 1 || a.contents != 1 || e.inner(a.id) == nil {
			c.odd = true
			break
		}
		id := string(bytes.Trim(e.inner(a.id), blanks))
		c.byID[id] = append(c.byID[id], a)
	}
	return c
}

// inMessageOf tells whether a list stands in the message that the header is in, beside its signed blocks.
func (o *outline) inMessageOf(header, list int) bool {
	message := o.nodes[list].parent
	return message >= 0 && strings.HasPrefix(o.nodes[message].sym, "t:") && o.within(header, message)
}

// signedFile checks SignaturePKCS7, which says what digest Hash is.
func (e *examiner) signedFile(id string, n int, want []byte, file io.Reader) {
	if _, elsewhere := e.include(n); elsewhere {
		e.report.Add(report.Check{Code: report.CMSSyntax, Status: report.NotChecked, Place: e.place(n),
			Message: "SignaturePKCS7 is an xop:Include: the octets that it stands for are not here"})
		return
	}
	message, err := decode(e.inner(n))
	if err != nil || len(message) == 0 {
		e.report.Add(failed(e.fail(report.CMSSyntax, n, "SignaturePKCS7 is not base64")))
		return
	}
	policy := cms.Policy{Trust: e.policy.Trust, Keys: e.policy.Keys, Time: e.policy.Time, Reader: file, Work: &e.trusting}
	verify := cms.Verify
	if want != nil {
		verify = func(message []byte, policy cms.Policy) (*report.Report, error) {
			return cms.VerifyAttachment(want, message, policy)
		}
	}
	r, err := verify(message, policy)
	if err != nil {
		problem := asError(err)
		problem.Place = e.place(n)
		e.report.Add(failed(problem))
		return
	}
	// Places in the message mean nothing in this document.
	for _, c := range r.Checks {
		c.Place = e.place(n)
		e.report.Add(c)
	}
	for _, s := range r.Signatures {
		s.Name, s.Place = "SignaturePKCS7 of "+quote(id), e.place(n)
		for i := range s.Checks {
			s.Checks[i].Place = s.Place
		}
		for i := range s.Coverage {
			s.Coverage[i].URI, s.Coverage[i].Place = quote(id), report.Place{}
		}
		e.report.Signatures = append(e.report.Signatures, s)
	}
}

// unsignedFile compares Hash alone. It names no algorithm; without SignaturePKCS7 it is the digest of the signature that covers
// the header.
func (e *examiner) unsignedFile(id string, header, n int, want []byte, file io.Reader) {
	var digest *gost.Digest
	for _, x := range e.all {
		if x.algorithm != nil && slices.ContainsFunc(x.found, func(f finding) bool {
			return f.holds && !f.outside && (f.whole || e.within(header, f.node))
		}) {
			digest = x.algorithm.Digest
			break
		}
	}
	if digest == nil {
		e.report.Add(failed(e.fail(report.CoverageWrong, header, "no signature covers the header of an attachment")))
		return
	}
	var h hash.Hash = digest.New()
	if _, err := io.Copy(h, file); err != nil {
		e.report.Add(failed(e.fail(report.ReferenceDigest, n, "the file of attachment %s cannot be read: %v", quote(id), err)))
		return
	}
	got := h.Sum(nil)
	check := report.Check{Code: report.ReferenceDigest, Place: e.place(n), Expected: base64Of(want), Got: base64Of(got),
		Message: "the hash of attachment " + quote(id) + " matches the file"}
	if !bytes.Equal(want, got) {
		check.Status, check.Message = report.Failed, "the hash of attachment "+quote(id)+" does not match the file"
	}
	e.report.Add(check)
}
