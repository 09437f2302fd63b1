package client

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	pb "github.com/epov-signer/epov/api/epovpb"
)

// SignSMEV3 signs a SMEV 3 message as the calling information system (EP-OV). The answer's Document is the message with the
// signature inserted, its Key the exact version that signed.
func (c *Client) SignSMEV3(ctx context.Context, key string, message []byte) (*pb.SignXmlResponse, error) {
	return c.SignXML(ctx, &pb.SignXmlRequest{Key: key, Profile: "smev3", Document: message})
}

// SignSMEV2 signs a SMEV 2 message over its Body (EP-OV).
func (c *Client) SignSMEV2(ctx context.Context, key string, message []byte) (*pb.SignXmlResponse, error) {
	return c.SignXML(ctx, &pb.SignXmlRequest{Key: key, Profile: "smev2", Document: message})
}

// SignXML signs a document. A request without an id or checksum gets them, so sending the same request again repeats the
// same call.
func (c *Client) SignXML(ctx context.Context, req *pb.SignXmlRequest) (*pb.SignXmlResponse, error) {
	prepareXML(req)
	answer, err := c.Sign.SignXml(ctx, req)
	if err != nil {
		return nil, err
	}
	return checkXML(req, answer)
}

// SignCMS makes a CMS message over content or its digest; ids and checksums as in SignXML.
func (c *Client) SignCMS(ctx context.Context, req *pb.SignCmsRequest) (*pb.SignCmsResponse, error) {
	prepareCMS(req)
	answer, err := c.Sign.SignCms(ctx, req)
	if err != nil {
		return nil, err
	}
	return checkCMS(req, answer)
}

// SignDigest signs a digest in wire order; ids and checksums as in SignXML. The signature is s || r.
func (c *Client) SignDigest(ctx context.Context, req *pb.SignDigestRequest) (*pb.SignDigestResponse, error) {
	prepareDigest(req)
	answer, err := c.Sign.SignDigest(ctx, req)
	if err != nil {
		return nil, err
	}
	return checkDigest(req, answer)
}

// NewRequestID makes an id that nobody else makes: 128 bits of chance.
func NewRequestID() string { return rand.Text() }

func identify(id *string) {
	if *id == "" {
		*id = NewRequestID()
	}
}

func prepareXML(req *pb.SignXmlRequest) {
	identify(&req.RequestId)
	checksum(&req.DocumentCrc32C, req.GetDocument())
}

func prepareCMS(req *pb.SignCmsRequest) {
	identify(&req.RequestId)
	checksum(&req.ContentCrc32C, append(req.GetContent(), req.GetContentDigest()...)) // one of them is there
}

func prepareDigest(req *pb.SignDigestRequest) {
	identify(&req.RequestId)
	checksum(&req.DigestCrc32C, req.GetDigest())
}

func checkXML(req *pb.SignXmlRequest, a *pb.SignXmlResponse) (*pb.SignXmlResponse, error) {
	err := cmp.Or(sameKey(req.GetKey(), a.GetKey()), intact(a.GetVerifiedDocumentCrc32C(), a.DocumentCrc32C, a.GetDocument()))
	return checked(a, err)
}

func checkCMS(req *pb.SignCmsRequest, a *pb.SignCmsResponse) (*pb.SignCmsResponse, error) {
	err := cmp.Or(sameKey(req.GetKey(), a.GetKey()), intact(a.GetVerifiedContentCrc32C(), a.MessageCrc32C, a.GetMessage()))
	return checked(a, err)
}

func checkDigest(req *pb.SignDigestRequest, a *pb.SignDigestResponse) (*pb.SignDigestResponse, error) {
	err := cmp.Or(sameKey(req.GetKey(), a.GetKey()), intact(a.GetVerifiedDigestCrc32C(), a.SignatureCrc32C, a.GetSignature()))
	return checked(a, err)
}

func checked[T any](answer *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// ErrOtherKey is an answer of another key than was asked for.
var ErrOtherKey = errors.New("client: the wrong key")

// sameKey holds the version that signed against the key that was asked for.
func sameKey(asked, signed string) error {
	if signed == asked || !strings.Contains(asked, "/versions/") && strings.HasPrefix(signed, asked+"/versions/") {
		return nil
	}
	return fmt.Errorf("%w: %q signed instead of %q", ErrOtherKey, signed, asked)
}
