package client

import (
	"errors"
	"hash/crc32"

	"google.golang.org/protobuf/proto"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func crc32c(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// ErrChecksum is an answer that was changed on its way, or of a service that did not compare what it got.
var ErrChecksum = errors.New("client: checksum: the answer is not what the service sent, or the service did not compare what it got")

// checksum gives a request the CRC32C of its payload, unless it has one.
func checksum(field **uint32, payload []byte) {
	if *field == nil {
		*field = proto.Uint32(crc32c(payload))
	}
}

// intact holds what came back against its checksum.
func intact(verified bool, sum *uint32, result []byte) error {
	if !verified || sum == nil || *sum != crc32c(result) {
		return ErrChecksum
	}
	return nil
}
