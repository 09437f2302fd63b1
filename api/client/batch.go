package client

import (
	"context"
	"iter"

	pb "github.com/epov-signer/epov/api/epovpb"
)

// Batch has many things signed over one call, the fastest way there is. Items go as fast as the service takes them: where
// as many are on their way as it works on at once, asking for another waits. When the service ends the call, or the
// connection breaks, another call takes up what has not been answered, under the same request ids; an item that is refused
// for a while is sent again, as unary calls are. One batch is one connection to one daemon; several batches spread.
// Safe for concurrent use.
type Batch struct {
	exchange *exchange[*pb.SignItem, *pb.SignedItem]
}

// NewBatch begins a batch, which lives until Close or until ctx ends.
func (c *Client) NewBatch(ctx context.Context) *Batch {
	return &Batch{newExchange(ctx, c, func(ctx context.Context) (out link[*pb.SignItem, *pb.SignedItem], err error) {
		s, err := c.Sign.SignBatch(ctx)
		if err != nil {
			return out, err
		}
		out.send = func(items []*pb.SignItem) error { return s.Send(&pb.SignBatchRequest{Items: items}) }
		out.receive = func() ([]*pb.SignedItem, error) { m, err := s.Recv(); return m.GetItems(), err }
		out.close = s.CloseSend
		return out, nil
	}, func(i *pb.SignItem, n uint64) { i.CorrelationId = n })}
}

// SignXML asks for one; it waits only until there is room for it.
func (b *Batch) SignXML(ctx context.Context, req *pb.SignXmlRequest) (*Pending[pb.SignXmlResponse], error) {
	prepareXML(req)
	return pend(ctx, b.exchange, &pb.SignItem{Request: &pb.SignItem_Xml{Xml: req}}, func(a *pb.SignedItem) (*pb.SignXmlResponse, error) {
		return checkXML(req, a.GetXml())
	})
}

// SignCMS is SignXML for CMS.
func (b *Batch) SignCMS(ctx context.Context, req *pb.SignCmsRequest) (*Pending[pb.SignCmsResponse], error) {
	prepareCMS(req)
	return pend(ctx, b.exchange, &pb.SignItem{Request: &pb.SignItem_Cms{Cms: req}}, func(a *pb.SignedItem) (*pb.SignCmsResponse, error) {
		return checkCMS(req, a.GetCms())
	})
}

// SignDigest is SignXML for digests.
func (b *Batch) SignDigest(ctx context.Context, req *pb.SignDigestRequest) (*Pending[pb.SignDigestResponse], error) {
	prepareDigest(req)
	return pend(ctx, b.exchange, &pb.SignItem{Request: &pb.SignItem_Digest{Digest: req}},
		func(a *pb.SignedItem) (*pb.SignDigestResponse, error) {
			return checkDigest(req, a.GetDigest())
		})
}

// Close takes no more, waits for the answers to come and ends the call. The error says why the batch ended before.
func (b *Batch) Close() error { return b.exchange.finish() }

// SignAll signs the documents of a sequence and yields the answers in its order.
func (c *Client) SignAll(ctx context.Context, documents iter.Seq[*pb.SignXmlRequest]) iter.Seq2[*pb.SignXmlResponse, error] {
	return func(yield func(*pb.SignXmlResponse, error) bool) {
		b := c.NewBatch(ctx)
		defer b.exchange.cancel()
		inOrder(ctx, documents, b.SignXML, yield)
	}
}

// VerifyBatch has many things examined over one call, as [Batch] has them signed. Safe for concurrent use.
type VerifyBatch struct {
	exchange *exchange[*pb.VerifyItem, *pb.VerifiedItem]
}

// NewVerifyBatch begins a batch, which lives until Close or until ctx ends.
func (c *Client) NewVerifyBatch(ctx context.Context) *VerifyBatch {
	return &VerifyBatch{newExchange(ctx, c, func(ctx context.Context) (out link[*pb.VerifyItem, *pb.VerifiedItem], err error) {
		s, err := c.Verify.VerifyBatch(ctx)
		if err != nil {
			return out, err
		}
		out.send = func(items []*pb.VerifyItem) error { return s.Send(&pb.VerifyBatchRequest{Items: items}) }
		out.receive = func() ([]*pb.VerifiedItem, error) { m, err := s.Recv(); return m.GetItems(), err }
		out.close = s.CloseSend
		return out, nil
	}, func(i *pb.VerifyItem, n uint64) { i.CorrelationId = n })}
}

// VerifyXML asks for one; it waits only until there is room for it. Answer and error are those of [Client.VerifyXML].
func (b *VerifyBatch) VerifyXML(ctx context.Context, req *pb.VerifyXmlRequest) (*Pending[pb.VerifyXmlResponse], error) {
	item := &pb.VerifyItem{Request: &pb.VerifyItem_Xml{Xml: req}}
	return pend(ctx, b.exchange, item, func(a *pb.VerifiedItem) (*pb.VerifyXmlResponse, error) { return a.GetXml(), judge(a.GetXml()) })
}

// VerifyCMS is VerifyXML for CMS.
func (b *VerifyBatch) VerifyCMS(ctx context.Context, req *pb.VerifyCmsRequest) (*Pending[pb.VerifyCmsResponse], error) {
	item := &pb.VerifyItem{Request: &pb.VerifyItem_Cms{Cms: req}}
	return pend(ctx, b.exchange, item, func(a *pb.VerifiedItem) (*pb.VerifyCmsResponse, error) { return a.GetCms(), judge(a.GetCms()) })
}

// Close takes no more, waits for the answers to come and ends the call. The error says why the batch ended before.
func (b *VerifyBatch) Close() error { return b.exchange.finish() }

// VerifyAll examines the documents of a sequence and yields the answers in its order, each with the error that VerifyXML has.
func (c *Client) VerifyAll(ctx context.Context, documents iter.Seq[*pb.VerifyXmlRequest]) iter.Seq2[*pb.VerifyXmlResponse, error] {
	return func(yield func(*pb.VerifyXmlResponse, error) bool) {
		b := c.NewVerifyBatch(ctx)
		defer b.exchange.cancel()
		inOrder(ctx, documents, b.VerifyXML, yield)
	}
}
