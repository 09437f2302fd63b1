// Package xmldsig makes and verifies XML signatures with GOST keys: plain XMLDSig, WS-Security as SMEV 2 uses it, the
// signatures of SMEV 3, XAdES-BES and XAdES-T. The profiles that it knows are [Profiles].
//
// To sign, take a [Profile], call Prepare, have the key sign Digest, call Complete. The document is spliced, never
// serialised anew. To verify, call [Verify] and look at the report, its coverage above all: a valid signature says nothing
// about elements it does not cover. The same table of places serves both, so that content which was moved away from where
// it counts is refused although its digest holds.
package xmldsig
