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
	SignSMEV2 = "sign-smev2" // SignXml, profile smev2
	SignXAdES = "sign-xades" // SignXml, profile xades-bes
	SignCMS   = "sign-cms"   // SignCms, profile pkcs7-detached
	Digest    = "digest"     // SignDigest

	VerifyXML   = "verify-xml" // VerifyXml of what SignXML gave, signed once before; so the others
	VerifySMEV2 = "verify-smev2"
	VerifyXAdES = "verify-xades"
	VerifyCMS   = "verify-cms"

	Batch       = "batch"        // as sign-xml, over SignBatch
	BatchDigest = "batch-digest" // as digest, over SignBatch
)

// Names lists them.
var Names = []string{
	SignXML, SignSMEV2, SignXAdES, SignCMS, Digest, VerifyXML, VerifySMEV2, VerifyXAdES, VerifyCMS, Batch, BatchDigest,
}

// xmlProfiles are those of SignXml, and of the operations that verify what it gave.
var xmlProfiles = map[string]string{
	SignXML: "smev3", SignSMEV2: "smev2", SignXAdES: "xades-bes", VerifyXML: "smev3", VerifySMEV2: "smev2", VerifyXAdES: "xades-bes",
}

const cmsProfile = "pkcs7-detached"

// Target is what an operation calls: connections to one service, taken in turns.
type Target struct {
	Clients []*client.Client
	Key     string
	Size    int               // octets of a message, about
	Told    func(*pb.Timings) // told of each unary signature; may be nil

	next atomic.Uint64
}

func (t *Target) client() *client.Client { return t.Clients[t.next.Add(1)%uint64(len(t.Clients))] }

func (t *Target) told(a *pb.Act) {
	if t.Told != nil {
		t.Told(a.GetTimings())
	}
}

// Prepare makes an operation. end lets go of what it holds.
func (t *Target) Prepare(ctx context.Context, name string) (op Operation, end func(), err error) {
	message := Message(t.Size)
	none := func() {}
	signXML := func(ctx context.Context) (*pb.SignXmlResponse, error) {
		a, err := t.client().SignXML(ctx, &pb.SignXmlRequest{Key: t.Key, Profile: xmlProfiles[name], Document: message})
		if err == nil {
			t.told(a.GetAct())
		}
		return a, err
	}
	signCMS := func(ctx context.Context) (*pb.SignCmsResponse, error) {
		a, err := t.client().SignCMS(ctx,
			&pb.SignCmsRequest{Key: t.Key, Profile: cmsProfile, Source: &pb.SignCmsRequest_Content{Content: message}})
		if err == nil {
			t.told(a.GetAct())
		}
		return a, err
	}
	switch name {
	case SignXML, SignSMEV2, SignXAdES:
		return func(ctx context.Context) error {
			_, err := signXML(ctx)
			return err
		}, none, nil
	case SignCMS:
		return func(ctx context.Context) error {
			_, err := signCMS(ctx)
			return err
		}, none, nil
	case VerifyXML, VerifySMEV2, VerifyXAdES:
		signed, err := signXML(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("the message to verify: %w", err)
		}
		return func(ctx context.Context) error {
			a, err := t.client().Verify.VerifyXml(ctx, &pb.VerifyXmlRequest{Document: signed.GetDocument(), Profile: xmlProfiles[name]})
			return whole(a.GetIntegrity(), err)
		}, none, nil
	case VerifyCMS:
		signed, err := signCMS(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("the message to verify: %w", err)
		}
		return func(ctx context.Context) error {
			a, err := t.client().Verify.VerifyCms(ctx, &pb.VerifyCmsRequest{Message: signed.GetMessage(), Content: message})
			return whole(a.GetIntegrity(), err)
		}, none, nil
	case Digest:
		req, err := t.digest(ctx)
		if err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context) error {
			a, err := t.client().SignDigest(ctx, req())
			if err == nil {
				t.told(a.GetAct())
			}
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

// ErrNotWhole is the error of a verification that finds a message of this service's own not whole. Whether the service trusts the
// key is another matter.
var ErrNotWhole = errors.New("a message that was signed before is not whole")

func whole(integrity pb.Verdict, err error) error {
	if err == nil && integrity != pb.Verdict_VERDICT_VALID {
		return ErrNotWhole
	}
	return err
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
