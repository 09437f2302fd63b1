package client

import (
	"context"
	"errors"
	"hash/crc32"
	"io"

	"google.golang.org/protobuf/proto"

	pb "github.com/epov-signer/epov/api/epovpb"
)

// chunk is how much content travels at once.
const chunk = 128 << 10

// SignCMSStream signs content of any size: memory does not grow with it. The message goes to out while content is still read;
// it is one only when the error is nil. Ids and checksums as in SignXML; the call is not repeated by itself, as content
// cannot be read twice. The context's deadline is the caller's matter: without one the service's own bound holds.
func (c *Client) SignCMSStream(ctx context.Context, header *pb.SignCmsHeader, content io.Reader, out io.Writer) (*pb.SignCmsEnd, error) {
	identify(&header.RequestId)
	ctx, cancel := context.WithCancel(context.WithValue(ctx, requestKey{}, header.GetRequestId()))
	defer cancel()
	s, err := c.Sign.SignCmsStream(ctx)
	if err != nil {
		return nil, err
	}
	sent := make(chan error, 1)
	go func() {
		err := sendContent(s, header, content)
		if err != nil {
			cancel() // what has been read so far must not be signed
		}
		sent <- err
	}()
	end, err := receiveMessage(s, out)
	if err != nil {
		cancel()
		// The reader's own error is why the call was given up.
		if from := <-sent; from != nil && !errors.Is(from, io.EOF) {
			return nil, from
		}
		return nil, err
	}
	if err := <-sent; err != nil {
		return nil, err
	}
	if !end.GetVerifiedCrc32C() {
		return nil, errChecksum
	}
	return end, sameKey(header.GetKey(), end.GetKey())
}

// sendContent sends header, chunks and end. An io.EOF is the stream's, whose own error receiving tells.
func sendContent(s pb.SignService_SignCmsStreamClient, header *pb.SignCmsHeader, content io.Reader) error {
	err := s.Send(&pb.SignCmsStreamRequest{Part: &pb.SignCmsStreamRequest_Header{Header: header}})
	sum, buffer := uint32(0), make([]byte, chunk)
	for err == nil {
		var n int
		n, err = io.ReadFull(content, buffer)
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !ended {
			return err
		}
		err = nil
		if n > 0 {
			sum = crc32.Update(sum, castagnoli, buffer[:n])
			err = s.Send(&pb.SignCmsStreamRequest{Part: &pb.SignCmsStreamRequest_Chunk{Chunk: buffer[:n]}})
		}
		if err == nil && ended {
			err = s.Send(&pb.SignCmsStreamRequest{Part: &pb.SignCmsStreamRequest_End{End: &pb.StreamEnd{Crc32C: proto.Uint32(sum)}}})
			return errors.Join(err, s.CloseSend())
		}
	}
	return err
}

func receiveMessage(s pb.SignService_SignCmsStreamClient, out io.Writer) (*pb.SignCmsEnd, error) {
	sum := uint32(0)
	for {
		answer, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		switch part := answer.GetPart().(type) {
		case *pb.SignCmsStreamResponse_Chunk:
			sum = crc32.Update(sum, castagnoli, part.Chunk)
			if _, err := out.Write(part.Chunk); err != nil {
				return nil, err
			}
		case *pb.SignCmsStreamResponse_End:
			if part.End.GetMessageCrc32C() != sum {
				return nil, errChecksum
			}
			return part.End, nil
		}
	}
}
