package load

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/epov-signer/epov/api/client"
	pb "github.com/epov-signer/epov/api/epovpb"
)

// Names of the operations that Prepare knows.
const (
	SignXML   = "sign-xml"   // SignXml, profile smev3
	VerifyXML = "verify-xml" // VerifyXml of such a message, signed once before
	SignCMS   = "sign-cms"   // SignCms, profile pkcs7-detached
	Digest    = "digest"     // SignDigest
	Batch     = "batch"      // as sign-xml, over SignBatch

	BatchDigest = "batch-digest" // as digest, over SignBatch
)

// Names lists them.
var Names = []string{SignXML, VerifyXML, SignCMS, Digest, Batch, BatchDigest}

// Target is what an operation calls: connections to one service, taken in turns.
type Target struct {
	Clients []*client.Client
	Key     string
	Size    int // octets of a message, about

	next atomic.Uint64
}

func (t *Target) client() *client.Client { return t.Clients[t.next.Add(1)%uint64(len(t.Clients))] }

// Prepare makes an operation. end lets go of what it holds.
func (t *Target) Prepare(ctx context.Context, name string) (op Operation, end func(), err error) {
	message := Message(t.Size)
	none := func() {}
	switch name {
	case SignXML:
		return func(ctx context.Context) error {
			_, err := t.client().SignSMEV3(ctx, t.Key, message)
			return err
		}, none, nil
	case SignCMS:
		return func(ctx context.Context) error {
			_, err := t.client().SignCMS(ctx, &pb.SignCmsRequest{
				Key: t.Key, Profile: "pkcs7-detached", Source: &pb.SignCmsRequest_Content{Content: message},
			})
			return err
		}, none, nil
	case VerifyXML:
		signed, err := t.client().SignSMEV3(ctx, t.Key, message)
		if err != nil {
			return nil, nil, fmt.Errorf("the message to verify: %w", err)
		}
		return func(ctx context.Context) error {
			// The verdict says whether the service trusts the key; what counts is that the signature was examined and is whole.
			answer, err := t.client().Verify.VerifyXml(ctx, &pb.VerifyXmlRequest{Document: signed.GetDocument()})
			if err == nil && answer.GetIntegrity() != pb.Verdict_VERDICT_VALID {
				err = errors.New("a message that was signed just now is not whole")
			}
			return err
		}, none, nil
	case Digest:
		req, err := t.digest(ctx)
		if err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context) error {
			_, err := t.client().SignDigest(ctx, req())
			return err
		}, none, nil
	case Batch:
		op, end = t.batches(ctx, func(ctx context.Context, b *client.Batch) error {
			p, err := b.SignXML(ctx, &pb.SignXmlRequest{Key: t.Key, Profile: "smev3", Document: message})
			if err != nil {
				return err
			}
			_, err = p.Wait(ctx)
			return err
		})
		return op, end, nil
	case BatchDigest:
		req, err := t.digest(ctx)
		if err != nil {
			return nil, nil, err
		}
		op, end = t.batches(ctx, func(ctx context.Context, b *client.Batch) error {
			p, err := b.SignDigest(ctx, req())
			if err != nil {
				return err
			}
			_, err = p.Wait(ctx)
			return err
		})
		return op, end, nil
	}
	return nil, nil, fmt.Errorf("no operation %q; there are %q", name, slices.Clone(Names))
}

// digest makes requests to sign a digest of the key's size.
func (t *Target) digest(ctx context.Context) (func() *pb.SignDigestRequest, error) {
	key, err := t.client().Keys.GetKey(ctx, &pb.GetKeyRequest{Key: t.Key})
	if err != nil {
		return nil, err
	}
	algorithm, size := "streebog256", 32
	if key.GetKey().GetAlgorithm() == "gost2012-512" {
		algorithm, size = "streebog512", 64
	}
	digest := make([]byte, size)
	rand.Read(digest)
	return func() *pb.SignDigestRequest {
		return &pb.SignDigestRequest{Key: t.Key, Digest: digest, DigestAlgorithm: algorithm}
	}, nil
}

// batches keeps one batch on each connection.
func (t *Target) batches(ctx context.Context, one func(context.Context, *client.Batch) error) (Operation, func()) {
	var list []*client.Batch
	for _, c := range t.Clients {
		list = append(list, c.NewBatch(context.WithoutCancel(ctx)))
	}
	var next atomic.Uint64
	return func(ctx context.Context) error {
			return one(ctx, list[next.Add(1)%uint64(len(list))])
		}, func() {
			for _, b := range list {
				_ = b.Close() // an error has been told to the calls
			}
		}
}

// ErrorName is what an error is counted under: the service's reason, or gRPC's code.
func ErrorName(err error) string {
	e := client.AsError(err)
	switch {
	case e == nil && errors.Is(err, context.DeadlineExceeded):
		return "deadline"
	case e == nil:
		return "other: " + err.Error()
	case e.ReasonName != "":
		return e.ReasonName
	}
	return e.Code.String()
}
