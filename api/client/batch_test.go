package client_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/epov-signer/epov/api/client"
	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/testpki"
)

func crc(b []byte) *uint32 {
	return proto.Uint32(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// batches answers each document with itself, backwards within a message, and does what a test wants besides.
type batches struct {
	pb.UnimplementedSignServiceServer
	mutex   sync.Mutex
	signed  map[string]int               // signatures by request id
	refuse  map[string]error             // once, by document
	breakAt int                          // items in all after which the call breaks
	cms     func([]byte) ([]byte, error) // makes a message of content
	items   int
}

func (s *batches) SignBatch(stream grpc.BidiStreamingServer[pb.SignBatchRequest, pb.SignBatchResponse]) error {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer := &pb.SignBatchResponse{}
		for _, i := range slices.Backward(req.GetItems()) {
			item, err := s.sign(i)
			if err != nil {
				return err
			}
			answer.Items = append(answer.Items, item)
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

func (s *batches) sign(i *pb.SignItem) (*pb.SignedItem, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.items++; s.items == s.breakAt {
		return nil, status.Error(codes.Unavailable, "broken")
	}
	doc := i.GetXml().GetDocument()
	out := &pb.SignedItem{CorrelationId: i.GetCorrelationId()}
	if err := s.refuse[string(doc)]; err != nil {
		delete(s.refuse, string(doc))
		out.Result = &pb.SignedItem_Status{Status: status.Convert(err).Proto()}
		return out, nil
	}
	s.signed[i.GetXml().GetRequestId()]++
	out.Result = &pb.SignedItem_Xml{Xml: &pb.SignXmlResponse{
		Document: doc, Key: i.GetXml().GetKey() + "/versions/1", VerifiedDocumentCrc32C: true, DocumentCrc32C: crc(doc),
	}}
	return out, nil
}

func (s *batches) dial(t *testing.T) *client.Client {
	a := testpki.NewTLS(t)
	files := clientFiles(t, a, t.TempDir(), anyClient)
	return dial(t, client.Config{
		Addresses: []string{serve(t, a, func(g *grpc.Server) { pb.RegisterSignServiceServer(g, s) })},
		TLS:       client.Files(files[0], files[1], files[2]), Health: client.NoHealth,
	})
}

// TestBatch signs many documents although some are refused for a while, one for good, and the call breaks in between.
func TestBatch(t *testing.T) {
	const many = 1000
	s := &batches{signed: map[string]int{}, breakAt: many / 2, refuse: map[string]error{
		"3":   refusal(codes.ResourceExhausted, pb.ErrorReason_OVERLOAD, time.Millisecond),
		"400": refusal(codes.Unavailable, pb.ErrorReason_TOKEN_AWAY, time.Millisecond),
		"700": refusal(codes.InvalidArgument, pb.ErrorReason_XML_SYNTAX, 0),
	}}
	b := s.dial(t).NewBatch(t.Context())
	var group sync.WaitGroup
	for i := range many {
		p, err := b.SignXML(t.Context(), &pb.SignXmlRequest{Key: "keys/A/ov", Document: fmt.Append(nil, i)})
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			answer, err := p.Wait(t.Context())
			switch {
			case i == 700:
				if !errors.Is(err, client.Because(pb.ErrorReason_XML_SYNTAX)) {
					t.Errorf("item %d: %v", i, err)
				}
			case err != nil || string(answer.GetDocument()) != fmt.Sprint(i):
				t.Errorf("item %d: %q, %v", i, answer.GetDocument(), err)
			}
		})
	}
	group.Wait()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := b.SignXML(t.Context(), &pb.SignXmlRequest{}); err == nil {
		t.Error("a closed batch takes an item")
	}
	if len(s.signed) != many-1 {
		t.Errorf("%d request ids for %d documents", len(s.signed), many-1)
	}
}

// TestBatchGivesUp has no service at all.
func TestBatchGivesUp(t *testing.T) {
	l := listen(t)
	address := l.Addr().String()
	l.Close()
	b := dial(t, client.Config{Addresses: []string{address}, Insecure: true, Attempts: 2, Health: client.NoHealth}).NewBatch(t.Context())
	p, err := b.SignXML(t.Context(), &pb.SignXmlRequest{Key: "keys/A/ov"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(t.Context()); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	if err := b.Close(); err == nil {
		t.Error("the batch ended in order")
	}
}

func TestSignAll(t *testing.T) {
	s := &batches{signed: map[string]int{}}
	n := 0
	for answer, err := range s.dial(t).SignAll(t.Context(), func(yield func(*pb.SignXmlRequest) bool) {
		for i := range 500 {
			if !yield(&pb.SignXmlRequest{Key: "keys/A/ov", Document: fmt.Append(nil, i)}) {
				return
			}
		}
	}) {
		if err != nil || string(answer.GetDocument()) != fmt.Sprint(n) {
			t.Fatalf("answer %d is %q, %v", n, answer.GetDocument(), err)
		}
		n++
	}
	if n != 500 {
		t.Errorf("%d answers", n)
	}
}

func (s *batches) SignCmsStream(stream grpc.BidiStreamingServer[pb.SignCmsStreamRequest, pb.SignCmsStreamResponse]) error {
	var content []byte
	key, sum := "", uint32(0)
	for end := false; !end; {
		req, err := stream.Recv()
		if err != nil {
			return err
		}
		switch p := req.GetPart().(type) {
		case *pb.SignCmsStreamRequest_Header:
			key = p.Header.GetKey() + "/versions/1"
		case *pb.SignCmsStreamRequest_Chunk:
			content = append(content, p.Chunk...)
		case *pb.SignCmsStreamRequest_End:
			end, sum = true, p.End.GetCrc32C()
		}
	}
	message, err := s.cms(content)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(message, 1000) {
		if err := stream.Send(&pb.SignCmsStreamResponse{Part: &pb.SignCmsStreamResponse_Chunk{Chunk: part}}); err != nil {
			return err
		}
	}
	return stream.Send(&pb.SignCmsStreamResponse{Part: &pb.SignCmsStreamResponse_End{End: &pb.SignCmsEnd{
		Key: key, VerifiedCrc32C: sum == *crc(content), MessageCrc32C: *crc(message),
	}}})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errDisk }

var errDisk = errors.New("disk")

func TestSignCMSStream(t *testing.T) {
	s := &batches{cms: func(content []byte) ([]byte, error) { return append([]byte("signed "), content...), nil }}
	c := s.dial(t)
	header := func() *pb.SignCmsHeader { return &pb.SignCmsHeader{Key: "keys/A/ov", Profile: "pkcs7-attached"} }
	for _, size := range []int{0, 1, 128 << 10, 500000} {
		content := make([]byte, size)
		rand.Read(content)
		var out bytes.Buffer
		end, err := c.SignCMSStream(t.Context(), header(), bytes.NewReader(content), &out)
		if err != nil || end.GetKey() != "keys/A/ov/versions/1" || out.String() != "signed "+string(content) {
			t.Errorf("%d octets: %d, %v, %v", size, out.Len(), end, err)
		}
	}
	if _, err := c.SignCMSStream(t.Context(), header(), failing{}, io.Discard); !errors.Is(err, errDisk) {
		t.Errorf("a reader that fails: %v", err)
	}
	s.cms = func([]byte) ([]byte, error) {
		return nil, refusal(codes.FailedPrecondition, pb.ErrorReason_KEY_UNUSABLE, 0)
	}
	if _, err := c.SignCMSStream(t.Context(), header(), bytes.NewReader(make([]byte, 1<<20)), io.Discard); !errors.Is(err,
		client.Because(pb.ErrorReason_KEY_UNUSABLE)) {
		t.Errorf("a refusal: %v", err)
	}
}
