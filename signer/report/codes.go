package report

// Code names a rule, a reason, or both. Codes are a contract: they never change meaning and are never reused. What each
// means, in English and Russian, is in [Codes].
type Code string

// Reading XML.
const (
	XMLSyntax      Code = "xml.syntax"       // not well-formed, or not namespace-well-formed
	XMLEncoding    Code = "xml.encoding"     // not UTF-8, or declared as something else
	XMLDoctype     Code = "xml.doctype"      // a document type declaration: refused
	XMLLimit       Code = "xml.limit"        // larger, deeper or wider than the limits allow
	XMLDuplicateID Code = "xml.duplicate-id" // one Id on two elements
)

// XML signatures.
const (
	SignatureNone      Code = "signature.none"      // nothing is signed, or not the part that must be
	SignatureStructure Code = "signature.structure" // ds:Signature or SignerInfo is not built as the standard says
	SignatureMethod    Code = "signature.method"    // algorithm unknown, refused, or unfit for the key
	SignatureC14N      Code = "signature.c14n"      // CanonicalizationMethod unknown or refused
	SignatureValue     Code = "signature.value"     // the value does not verify with the signer's key
	ReferenceURI       Code = "reference.uri"       // external, absent, or a pointer that is not "#id"
	ReferenceTarget    Code = "reference.target"    // no element has the Id
	ReferenceTransform Code = "reference.transform" // transform unknown, refused, or misplaced
	ReferenceMethod    Code = "reference.method"    // DigestMethod unknown or refused
	ReferenceDigest    Code = "reference.digest"    // the digest does not match
	ReferenceLimit     Code = "reference.limit"     // too many references or transforms, or things to tell of a signature
	KeyInfo            Code = "keyinfo"             // no usable signer certificate in KeyInfo
	CoverageWrong      Code = "coverage"            // what the profile demands is not what is covered (signature wrapping)
	ProfileForm        Code = "profile.form"        // sound XMLDSig, but not as the profile writes it
	XAdESProperties    Code = "xades.properties"    // SignedProperties missing, uncovered or foreign
	XAdESCertificate   Code = "xades.certificate"   // SigningCertificate does not name the signer
)

// CMS.
const (
	CMSSyntax              Code = "cms.syntax"               // not BER, or not the structure of RFC 5652
	CMSLimit               Code = "cms.limit"                // larger or deeper than the limits allow
	CMSContentType         Code = "cms.content-type"         // not SignedData, or attribute and content type differ
	CMSContent             Code = "cms.content"              // content missing, or given twice and different
	CMSSigner              Code = "cms.signer"               // the signer's certificate was not found
	CMSDigestMethod        Code = "cms.digest-method"        // digestAlgorithm does not fit the key
	CMSAttributes          Code = "cms.attributes"           // signed attributes missing, repeated, or not DER
	CMSMessageDigest       Code = "cms.message-digest"       // messageDigest does not match the content
	CMSAlgorithmProtection Code = "cms.algorithm-protection" // RFC 6211 attribute contradicts the SignerInfo
	CMSSigningCertificate  Code = "cms.signing-certificate"  // ESS attribute does not name the signer
)

// Time-stamps of signatures, RFC 3161.
const (
	TimeStampToken       Code = "timestamp.token"       // the token cannot be read, or not be understood
	TimeStampImprint     Code = "timestamp.imprint"     // it is about something else
	TimeStampSignature   Code = "timestamp.signature"   // its signature is not in order
	TimeStampCertificate Code = "timestamp.certificate" // it does not name its signer's certificate (ESS)
	TimeStampUsage       Code = "timestamp.usage"       // its signer's certificate is not for time-stamping
	TimeStampTrust       Code = "timestamp.trust"       // its signer is not trusted
	TimeStampTime        Code = "timestamp.time"        // it states an impossible time
	TimeStampUnavailable Code = "timestamp.unavailable" // no authority has answered with a token; a retry may help
)

// Trust: the certificate and its path.
const (
	CertSyntax    Code = "certificate.syntax"     // not DER, or not RFC 5280
	CertKey       Code = "certificate.key"        // key or parameters unusable
	CertTime      Code = "certificate.time"       // not valid at the time that counts
	CertKeyPeriod Code = "certificate.key-period" // privateKeyUsagePeriod over, or not begun
	CertUsage     Code = "certificate.usage"      // keyUsage does not allow signing documents
	CertExtension Code = "certificate.extension"  // unknown critical extension
	CertPath      Code = "certificate.path"       // no path to a trust anchor, or a link of it is broken
	CertPolicy    Code = "certificate.policy"     // a certificate policy that is demanded, such as a class of protection, is missing
	CertRevoked   Code = "certificate.revoked"    // a certificate of the path was revoked before the time that counts

	CertForm Code = "certificate.form" // not as FSB order 795 wants qualified certificates

	// CertRevocation: whether a certificate was revoked is demanded to be known, and is not.
	CertRevocation Code = "certificate.revocation"
)

// Messages before they are signed: what SMEV is known to refuse.
const (
	MessageForm       Code = "message.form"       // not as SMEV's recommendations and schemas want it
	MessageIdentifier Code = "message.identifier" // MessageID or another identifier is not of the kind that is demanded
)

// Asking for a signature.
const (
	RequestInvalid   Code = "request.invalid"   // a field is missing, malformed or contradicts another
	RequestIDReused  Code = "request.id-reused" // the request_id belongs to another request
	RequestChecksum  Code = "request.checksum"  // the payload is not what its checksum says
	RequestLimit     Code = "request.limit"     // larger than the service takes
	MethodUnknown    Code = "method.unknown"    // no such method
	TargetMissing    Code = "target.missing"    // the element to sign is not there
	TargetAmbiguous  Code = "target.ambiguous"  // more than one element could be meant
	AlreadySigned    Code = "target.signed"     // the place for the signature is taken
	AccessDenied     Code = "access.denied"     // this caller may not do this with this key
	RecordUnknown    Code = "record.unknown"    // no such record in the audit log
	KeyUnknown       Code = "key.unknown"       // no such key
	KeyUnusable      Code = "key.unusable"      // the key exists but must not sign: no certificate, out of service, wrong algorithm
	KeyStaged        Code = "key.staged"        // the version signs once it is activated
	KeyRetired       Code = "key.retired"       // the version signs no more
	KeyDisabled      Code = "key.disabled"      // the version must not sign
	TokenAway        Code = "token.away"        // the token cannot be reached now; a retry may help
	TokenPIN         Code = "token.pin"         // the token waits for an operator because of its PIN
	TokenFault       Code = "token.fault"       // the token answered with an error
	Overload         Code = "overload"          // more work than sessions; a retry may help
	QuotaExceeded    Code = "quota.exceeded"    // a limit of the caller is reached, which Place.Path names; a retry may help
	AuditUnavailable Code = "audit.unavailable" // the audit log takes no records, so nothing is signed; a retry may help
	Draining         Code = "service.draining"  // the service is stopping; a retry elsewhere helps
	Deadline         Code = "deadline"          // the caller's time ran out
	Internal         Code = "internal"          // a fault of the service itself
)

// Info says what a code means, for people and for SMEV.
type Info struct {
	Code Code
	// English and Russian say in one sentence, without a final period, what is wrong where a check of this code failed.
	English, Russian string
	// Fault is the fault of SMEV 3 that such a message provokes (schema …/types/faults), empty when none corresponds.
	Fault string
}

// In returns the sentence in a language.
func (i Info) In(l Language) string {
	if l == Russian {
		return i.Russian
	}
	return i.English
}

// Info returns what the code means; the zero Info for an unknown code.
func (c Code) Info() Info {
	for _, i := range Codes {
		if i.Code == c {
			return i
		}
	}
	return Info{Code: c}
}

// AboutTrust reports whether the code is about the signer's certificate rather than about the signature.
func (c Code) AboutTrust() bool {
	switch c {
	case CertTime, CertKeyPeriod, CertUsage, CertExtension, CertPath, CertPolicy, CertRevoked, CertRevocation, CertForm, TimeStampTrust:
		return true
	}
	return false
}
