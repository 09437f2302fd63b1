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
		err := s.Send(&pb.SignCmsStreamRequest{Part: &pb.SignCmsStreamRequest_Header{Header: header}})
		if err == nil {
			err = sendContent(content, func(octets []byte) error {
				return s.Send(&pb.SignCmsStreamRequest{Part: &pb.SignCmsStreamRequest_Chunk{Chunk: octets}})
			}, func(end *pb.StreamEnd) error {
				err := s.Send(&pb.SignCmsStreamRequest{Part: &pb.SignCmsStreamRequest_End{End: end}})
				return errors.Join(err, s.CloseSend())
			})
		}
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
		return nil, ErrChecksum
	}
	return end, sameKey(header.GetKey(), end.GetKey())
}

// sendContent sends chunks and the end. An io.EOF is the stream's, whose own error receiving tells.
func sendContent(content io.Reader, send func([]byte) error, finish func(*pb.StreamEnd) error) error {
	sum, buffer := uint32(0), make([]byte, chunk)
	for {
		n, err := io.ReadFull(content, buffer)
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !ended {
			return err
		}
		if n > 0 {
			sum = crc32.Update(sum, castagnoli, buffer[:n])
			if err := send(buffer[:n]); err != nil {
				return err
			}
		}
		if ended {
			return finish(&pb.StreamEnd{Crc32C: proto.Uint32(sum)})
		}
	}
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
				return nil, ErrChecksum
			}
			return part.End, nil
		}
	}
}

// VerifyCMSStream examines a message of any size: memory does not grow with it. What is read is the message, or the content of
// the detached message that the header has. Answer and error are those of VerifyCMS; the deadline is as in SignCMSStream.
func (c *Client) VerifyCMSStream(ctx context.Context, header *pb.VerifyCmsHeader, from io.Reader) (*pb.VerifyCmsResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := c.Verify.VerifyCmsStream(ctx)
	if err != nil {
		return nil, err
	}
	err = s.Send(&pb.VerifyCmsStreamRequest{Part: &pb.VerifyCmsStreamRequest_Header{Header: header}})
	if err == nil {
		err = sendContent(from, func(octets []byte) error {
			return s.Send(&pb.VerifyCmsStreamRequest{Part: &pb.VerifyCmsStreamRequest_Chunk{Chunk: octets}})
		}, func(end *pb.StreamEnd) error {
			return s.Send(&pb.VerifyCmsStreamRequest{Part: &pb.VerifyCmsStreamRequest_End{End: end}})
		})
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	answer, err := s.CloseAndRecv()
	if err != nil {
		return nil, err
	}
	return answer, judge(answer)
}
