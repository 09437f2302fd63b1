package main

import (
	"hash"
	"slices"

	"github.com/epov-signer/epov/gost/gostr341194"
	"github.com/epov-signer/epov/gost/streebog"
)

// hashComparisons hash message, 1 MiB. Implementations that this processor lacks are left out.
func hashComparisons(message []byte) (list []comparison) {
	add := func(name, peer string, h hash.Hash) {
		out := make([]byte, 0, streebog.Size512)
		list = append(list, comparison{
			name: name, ours: func() { h.Reset(); h.Write(message); h.Sum(out) }, peer: peer, input: message,
		})
	}
	for _, im := range streebog.Implementations() {
		switch im.String() {
		case "generic":
			add("gost/streebog-portable", "hash256", im.New256())
		case "table":
			add("gost/streebog-table", "hash256", im.New256())
		case "avx512":
			add("gost/streebog-one", "hash256", im.New256())
			add("gost/streebog512-one", "hash512", im.New512())
			// The peer hashes as many octets one after another, in one message: its best case.
			msgs := slices.Collect(slices.Chunk(message, len(message)/8))
			sums := make([][streebog.Size256]byte, len(msgs))
			list = append(list, comparison{
				name: "gost/streebog-many", ours: func() { streebog.SumMany256(sums, msgs) }, peer: "hash256", input: message,
			})
		}
	}
	add("gost/gostr341194", "hash94", gostr341194.New())
	return list
}
