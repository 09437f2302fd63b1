package api

import (
	"bytes"
	"testing"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/epov-signer/epov/api/epovpb"
)

// Messages of any size come through as they are, and what was decoded does not change when buffers are used again.
func TestCodec(t *testing.T) {
	var kept []*epovpb.SignXmlResponse
	sizes := []int{0, 1, 4000, 4096, 5000, 32 << 10, 64<<10 - 3, 1 << 20, 5 << 20}
	for i, n := range sizes {
		m := &epovpb.SignXmlResponse{Document: bytes.Repeat([]byte{byte(i + 1)}, n), Key: "k"}
		wire, err := codec{}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		out := new(epovpb.SignXmlResponse)
		if err := (codec{}).Unmarshal(wire, out); err != nil {
			t.Fatal(err)
		}
		wire.Free()
		kept = append(kept, out)
	}
	for i, m := range kept {
		if !bytes.Equal(m.Document, bytes.Repeat([]byte{byte(i + 1)}, sizes[i])) || m.Key != "k" {
			t.Errorf("%d octets became others", sizes[i])
		}
	}
	if err := (codec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer{0xff}}, new(epovpb.SignXmlResponse)); err == nil {
		t.Error("nonsense is decoded")
	}
	if _, err := (codec{}).Marshal("x"); err == nil {
		t.Error("a string is no message")
	}
}

// BenchmarkCodec decodes and encodes a batch of four documents of 10 KB, beside gRPC's own codec.
func BenchmarkCodec(b *testing.B) {
	m := &epovpb.SignBatchResponse{}
	for range 4 {
		m.Items = append(m.Items, &epovpb.SignedItem{Result: &epovpb.SignedItem_Xml{Xml: &epovpb.SignXmlResponse{Document: benchDocument()}}})
	}
	wire, err := proto.Marshal(m)
	if err != nil {
		b.Fatal(err)
	}
	for name, c := range map[string]encoding.CodecV2{"ours": codec{}, "gRPC": encoding.GetCodecV2("proto")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer(wire[:20000]), mem.SliceBuffer(wire[20000:])},
					new(epovpb.SignBatchResponse)); err != nil {
					b.Fatal(err)
				}
				out, err := c.Marshal(m)
				if err != nil {
					b.Fatal(err)
				}
				out.Free()
			}
		})
	}
}
