package gost

import (
	"bytes"
	"encoding/pem"
	"fmt"
)

const (
	maxBundleSize   = 16 << 20 // octets
	maxCertificates = 4096
	pemCertificate  = "CERTIFICATE"
)

// ParseCertificates reads one DER certificate or any number of PEM certificates, of at most 16 MiB and 4096 certificates.
// PEM of another kind or damaged PEM is an error; text between the PEM blocks and a byte order mark are not.
func ParseCertificates(data []byte, opts ...KeyOption) ([]*Certificate, error) {
	if len(data) > maxBundleSize {
		return nil, fmt.Errorf("gost: certificates: %d octets exceed the limit of %d", len(data), maxBundleSize)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // that some editors put before PEM
	blocks := bytes.Count(data, []byte("-----BEGIN "))
	if blocks == 0 {
		c, err := ParseCertificate(data, opts...)
		if err != nil {
			return nil, err
		}
		return []*Certificate{c}, nil
	}
	var list []*Certificate
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != pemCertificate {
			return nil, fmt.Errorf("gost: certificates: PEM block %d is a %q", len(list)+1, block.Type)
		}
		if len(list) == maxCertificates {
			return nil, fmt.Errorf("gost: certificates: more than %d", maxCertificates)
		}
		c, err := ParseCertificate(block.Bytes, opts...)
		if err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", len(list)+1, err)
		}
		list = append(list, c)
	}
	if len(list) != blocks { // the decoder passes over what it cannot read
		return nil, fmt.Errorf("gost: certificates: %d of %d PEM blocks are damaged", blocks-len(list), blocks)
	}
	return list, nil
}

// PEM returns the certificate as one PEM block (RFC 7468).
func (c *Certificate) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: c.Raw})
}
