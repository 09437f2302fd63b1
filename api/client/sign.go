package client

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/epov-signer/epov/api/epovpb"
)

// SignSMEV3 signs a SMEV 3 message as the calling information system (EP-OV). The answer's Document is the message with the
// signature inserted, its Key the exact version that signed.
func (c *Client) SignSMEV3(ctx context.Context, key string, message []byte) (*epovpb.SignXmlResponse, error) {
	return c.SignXML(ctx, &epovpb.SignXmlRequest{Key: key, Profile: "smev3", Document: message})
}

// SignSMEV2 signs a SMEV 2 message over its Body (EP-OV).
func (c *Client) SignSMEV2(ctx context.Context, key string, message []byte) (*epovpb.SignXmlResponse, error) {
	return c.SignXML(ctx, &epovpb.SignXmlRequest{Key: key, Profile: "smev2", Document: message})
}

// SignXML signs a document. A request without an id gets one, so sending the same request again repeats the same call.
func (c *Client) SignXML(ctx context.Context, req *epovpb.SignXmlRequest) (*epovpb.SignXmlResponse, error) {
	identify(req)
	answer, err := c.Sign.SignXml(ctx, req)
	if err != nil {
		return nil, err
	}
	return answer, sameKey(req.GetKey(), answer.GetKey())
}

// SignCMS makes a CMS message over content or its digest; ids as in SignXML.
func (c *Client) SignCMS(ctx context.Context, req *epovpb.SignCmsRequest) (*epovpb.SignCmsResponse, error) {
	identify(req)
	answer, err := c.Sign.SignCms(ctx, req)
	if err != nil {
		return nil, err
	}
	return answer, sameKey(req.GetKey(), answer.GetKey())
}

// SignDigest signs a digest in wire order; ids as in SignXML. The signature is s || r.
func (c *Client) SignDigest(ctx context.Context, req *epovpb.SignDigestRequest) (*epovpb.SignDigestResponse, error) {
	identify(req)
	answer, err := c.Sign.SignDigest(ctx, req)
	if err != nil {
		return nil, err
	}
	return answer, sameKey(req.GetKey(), answer.GetKey())
}

// NewRequestID makes an id that nobody else makes: 128 bits of chance.
func NewRequestID() string { return rand.Text() }

const requestIDField = protoreflect.Name("request_id")

// identify gives a request an id unless it has one.
func identify(req proto.Message) {
	m := req.ProtoReflect()
	if f := m.Descriptor().Fields().ByName(requestIDField); f != nil && m.Get(f).String() == "" {
		m.Set(f, protoreflect.ValueOfString(NewRequestID()))
	}
}

// sameKey holds the version that signed against the key that was asked for.
func sameKey(asked, signed string) error {
	if signed == asked || !strings.Contains(asked, "/versions/") && strings.HasPrefix(signed, asked+"/versions/") {
		return nil
	}
	return fmt.Errorf("client: %q signed instead of %q", signed, asked)
}
