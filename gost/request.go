package gost

// Request is a PKCS#10 certification request (RFC 2986).
type Request struct {
	Raw, RawInfo []byte
	Subject      Name
	PublicKey    *PublicKey
	Signature    []byte
}

// ParseRequest reads one DER request. Version other than 0 is refused.
func ParseRequest(der []byte) (*Request, error) { panic("skeleton") }

// CheckSignature checks the proof of possession.
func (r *Request) CheckSignature() error { panic("skeleton") }

// RequestTemplate is what to ask a certificate for.
type RequestTemplate struct {
	Subject  Name
	KeyUsage KeyUsage // asked for in extensionRequest when not 0
	// Extensions already encoded; filled by callers that need more.
	Extensions []Extension
}

// Extension is one X.509 extension.
type Extension struct {
	OID      []int
	Critical bool
	Value    []byte // DER of the extension value
}

// PreparedRequest awaits its signature.
type PreparedRequest struct{}

// PrepareRequest encodes the part to be signed.
func PrepareRequest(t RequestTemplate, key *PublicKey) (*PreparedRequest, error) { panic("skeleton") }

// Digest is what the private key must sign.
func (p *PreparedRequest) Digest() []byte { panic("skeleton") }

// Complete checks signature (s ‖ r) with the public key and returns the DER request.
func (p *PreparedRequest) Complete(signature []byte) ([]byte, error) { panic("skeleton") }
