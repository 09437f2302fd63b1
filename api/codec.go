package api

import (
	"fmt"
	"math/bits"
	"sync"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// codec is protobuf with buffers of ours. gRPC's have nothing between 32 KiB and 1 MiB, and a batch of a few documents lies there:
// each message would clear a MiB.
type codec struct{}

var _ encoding.CodecV2 = codec{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	out, followed := v.(*outgoing)
	if followed {
		v = out.message
	}
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", v)
	}
	size := proto.Size(m)
	options := proto.MarshalOptions{UseCachedSize: true}
	if mem.IsBelowBufferPoolingThreshold(size) {
		octets, err := options.Marshal(m)
		if err != nil {
			return nil, err
		}
		return mem.BufferSlice{mem.SliceBuffer(octets)}, nil
	}
	buffer := buffers.Get(size)
	octets, err := options.MarshalAppend((*buffer)[:0], m)
	if err != nil {
		buffers.Put(buffer)
		return nil, err
	}
	*buffer = octets
	if followed && size >= large {
		return out.portions(buffer), nil
	}
	return mem.BufferSlice{mem.NewBuffer(buffer, buffers)}, nil
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no message", v)
	}
	buffer := data.MaterializeToBuffer(buffers)
	defer buffer.Free()
	return proto.Unmarshal(buffer.ReadOnlyData(), m) // copies what it keeps
}

// buffers hold requests while they are decoded, and answers until they are on the wire.
var buffers = &pool{}

// pool keeps buffers by the power of two of their capacity, from 4 KiB on.
type pool struct{ classes [maxClass + 1]sync.Pool }

const (
	minClass = 12
	maxClass = 22
)

func class(n int) int { return max(minClass, bits.Len(uint(n-1))) }

// Get implements mem.BufferPool. The octets may be anything.
func (p *pool) Get(n int) *[]byte {
	c := class(max(n, 1))
	if c > maxClass {
		octets := make([]byte, n)
		return &octets
	}
	if b, ok := p.classes[c].Get().(*[]byte); ok {
		*b = (*b)[:n]
		return b
	}
	octets := make([]byte, n, 1<<c)
	return &octets
}

// Put implements mem.BufferPool.
func (p *pool) Put(b *[]byte) {
	if c := class(max(cap(*b), 1)); c <= maxClass && cap(*b) == 1<<c {
		p.classes[c].Put(b)
	}
}
