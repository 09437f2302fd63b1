package api

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxFields is how many fields and elements a message may have, with those of the messages in it: an item of a batch has some ten.
// An empty item is two octets on the wire and a hundred in memory, so that without it a message of the size that is allowed would
// take gigabytes.
const maxFields = 1 << 14

// maxNesting is how deep fields are counted. No message of ours is as deep.
const maxNesting = 32

// countFields takes the fields of an encoded message from those that are left, and says whether there were as many. What is no
// message is left to the decoder to refuse.
func countFields(octets []byte, of protoreflect.MessageDescriptor, left *int, depth int) bool {
	fields := of.Fields()
	for len(octets) > 0 {
		if *left--; *left < 0 {
			return false
		}
		number, kind, n := protowire.ConsumeTag(octets)
		if n < 0 {
			return true
		}
		octets = octets[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, octets); n < 0 {
				return true
			}
			octets = octets[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(octets)
		if n < 0 {
			return true
		}
		octets = octets[n:]
		switch field := fields.ByNumber(number); {
		case field == nil: // unknown: kept as it is
		case field.Message() != nil:
			if depth == maxNesting || !countFields(value, field.Message(), left, depth+1) {
				return false
			}
		case field.IsList() && field.Kind() != protoreflect.StringKind && field.Kind() != protoreflect.BytesKind: // packed
			if *left -= len(value); *left < 0 {
				return false
			}
		}
	}
	return true
}
