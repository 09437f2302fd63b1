package cms

import (
	"bytes"
	"encoding/base64"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/signer/report"
)

// Attachments of SMEV 3 (methodical recommendations 3.x, section 4.3.1). RefAttachmentHeader has two fields about the file:
// SignaturePKCS7, a detached message of one signer with signed attributes as the profile pkcs7-detached makes it, and Hash,
// the digest of the file. The header names no digest algorithm: that of the signature counts, so Hash is messageDigest.

// AttachmentHash returns the value of Hash that belongs to a SignaturePKCS7, wire order. Errors are *report.Error.
func AttachmentHash(signature []byte) ([]byte, error) {
	sd, err := parse(signature, Limits{}.withDefaults())
	if err != nil {
		return nil, err
	}
	if len(sd.signers) != 1 {
		return nil, report.Errorf(report.CMSSigner, report.Place{}, "the message has %d signers where one must be", len(sd.signers))
	}
	value, at := sd.signers[0].signed.value(oidMessageDigest)
	var hash cryptobyte.String
	if !value.ReadASN1(&hash, cbasn1.OCTET_STRING) || !value.Empty() {
		return nil, report.Errorf(report.CMSAttributes, at, "the message has no messageDigest")
	}
	return bytes.Clone(hash), nil
}

// VerifyAttachment is [Verify] of a SignaturePKCS7 with the Hash beside it. When the policy has no content, the signature is
// judged by the Hash alone, which then stands for the file.
func VerifyAttachment(hash, signature []byte, policy Policy) (*report.Report, error) {
	sd, err := parse(signature, policy.Limits.withDefaults())
	if err != nil {
		return nil, err
	}
	methods := sd.digestMethods()
	alone := !policy.Detached && policy.Content == nil && policy.Reader == nil && policy.Digest == nil
	if alone && len(methods) == 1 && len(hash) == methods[0].size {
		policy.Digest, policy.DigestMethod = hash, methods[0].gost
	}
	r, err := verify(sd, policy)
	if err != nil {
		return nil, err
	}
	check := report.Check{Code: report.CMSContent, Message: "Hash is the digest that was signed",
		Got: base64.StdEncoding.EncodeToString(hash)}
	want, err := AttachmentHash(signature)
	switch {
	case err != nil && len(sd.signers) == 1 && sd.signers[0].signed == nil && alone && len(methods) == 1:
		check.Message = "Hash is the digest that was signed, without attributes" // the signature over it tells
	case err != nil:
		check.Status, check.Message = report.Failed, "there is no digest to compare Hash with"
	case !anyEqual(hash, [][]byte{want}):
		check.Status, check.Message = report.Failed, "Hash is not the digest that was signed"
		check.Expected = base64.StdEncoding.EncodeToString(want)
	}
	r.Add(check)
	if len(sd.signers) != 1 {
		r.Add(report.Check{Code: report.CMSSigner, Status: report.Failed, Message: "an attachment has exactly one signer"})
	}
	if sd.content != nil {
		r.Add(report.Check{Code: report.CMSContent, Status: report.Failed,
			Message: "the signature of an attachment must not have the content in it"})
	}
	return r, nil
}
