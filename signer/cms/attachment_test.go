package cms

import (
	"bytes"
	"testing"
	"time"

	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// The two fields of a RefAttachmentHeader, with the file and without it.
func TestAttachment(t *testing.T) {
	signers, anchors := people(t)
	policy := Policy{Trust: trust.New(anchors, nil)}
	content := []byte("a file on the exchange server")
	for _, p := range signers {
		digest := p.certificate.PublicKey.Algorithm.Digest
		h := sum(digest.New(), content)
		message := p.sign(t, ProfileByName("pkcs7-detached"), Input{Digest: h})
		hash, err := AttachmentHash(message)
		if err != nil || !bytes.Equal(hash, h) {
			t.Fatalf("%x, %v", hash, err)
		}
		verify := func(hash, message []byte, content []byte) report.Verdict {
			t.Helper()
			p := policy
			if content != nil {
				p.Reader = bytes.NewReader(content)
			}
			r, err := VerifyAttachment(hash, message, p)
			if err != nil {
				t.Fatal(err)
			}
			return r.Verdict()
		}
		bent := bytes.Clone(h)
		bent[0] ^= 1
		attached := p.sign(t, ProfileByName("pkcs7-attached"), Input{Content: content})
		two, err := Merge(message, signers[(1+len(anchors)-1)%len(signers)].sign(t,
			ProfileByName("cades-bes-detached"), Input{Content: content}))
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			hash, message, content []byte
			want                   report.Verdict
		}{
			"file":              {h, message, content, report.Valid},
			"Hash alone":        {h, message, nil, report.Valid},
			"another Hash":      {bent, message, content, report.Invalid},
			"another alone":     {bent, message, nil, report.Invalid},
			"another file":      {h, message, []byte("x"), report.Invalid},
			"short":             {h[1:], message, content, report.Invalid},
			"no Hash":           {nil, message, content, report.Invalid},
			"content in it":     {h, attached, nil, report.Invalid},
			"more than 1 of us": {h, two, content, report.Invalid},
		} {
			if got := verify(c.hash, c.message, c.content); got != c.want {
				t.Errorf("%s, %s: %s", digest.Name, name, got)
			}
		}
	}
}

// Signatures without attributes are accepted beside a file; a digest alone does not tell what it is the digest of.
func TestAttachmentWithoutAttributes(t *testing.T) {
	v := find(t, "openssl-2012-256-cpA-detached-noattr")
	content := vectors.Read(t, "gost/cms/content.bin")
	policy := v.policy(t)
	policy.Detached, policy.Content = false, nil
	r, err := VerifyAttachment(sum(digests[0].new(), content), v.message(t), policy)
	if err != nil || r.Verdict() != report.Indeterminate {
		t.Errorf("%s, %+v, %v", r.Verdict(), r.Failures(), err)
	}
}

func TestAttachmentVector(t *testing.T) {
	message := vectors.Read(t, "smev-messages/made/attachment.p7s")
	hash, err := AttachmentHash(message)
	if err != nil {
		t.Fatal(err)
	}
	policy := Policy{Time: time.Unix(vectors.Time, 0), Detached: true, Content: vectors.Read(t, "smev-messages/made/attachment.bin")}
	r, err := VerifyAttachment(hash, message, policy)
	if err != nil || r.Integrity() != report.Valid {
		t.Errorf("%s, %+v, %v", r.Integrity(), r.Failures(), err)
	}
}
