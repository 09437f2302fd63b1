package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// MaxReceiptBytes bounds a receipt.
const MaxReceiptBytes = 64 << 10

// maxProof is the length of a path in a tree of 2^63 leaves.
const maxProof = 63

// Receipt proves that a record is in a log. It is complete: with the log's key, and nothing else, anybody can check it.
type Receipt struct {
	Log        string // origin line
	Index      uint64
	Record     Record
	Proof      [][]byte // inclusion proof, RFC 6962 section 2.1.1, from the leaf's sibling upwards
	Checkpoint []byte   // signed note
}

type receiptWire struct {
	Receipt    *int            `json:"receipt"`
	Log        string          `json:"log"`
	Index      uint64          `json:"index"`
	Record     json.RawMessage `json:"record"`
	Proof      [][]byte        `json:"proof"`
	Checkpoint string          `json:"checkpoint"`
}

// Marshal writes the receipt as JSON. It may be laid out anew by other programs: what is proved is the record's canonical
// form, which its members determine.
func (r *Receipt) Marshal() []byte {
	version := Version
	path := r.Proof
	if path == nil {
		path = [][]byte{}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	// Encoding cannot fail: no member's type can.
	_ = enc.Encode(receiptWire{&version, r.Log, r.Index, r.Record.Append(nil), path, string(r.Checkpoint)})
	return b.Bytes()
}

// ParseReceipt reads what Marshal wrote. Nothing of it has been checked then.
func ParseReceipt(data []byte) (*Receipt, error) {
	if len(data) > MaxReceiptBytes {
		return nil, fmt.Errorf("audit: a receipt of %d bytes, the limit is %d", len(data), MaxReceiptBytes)
	}
	if !json.Valid(data) {
		return nil, errors.New("audit: the receipt is not JSON")
	}
	if !plainMembers(data) {
		return nil, errors.New("audit: the receipt has a member twice, or one that no receipt has: programs would read it differently")
	}
	var w receiptWire
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return nil, errors.New("audit: not a receipt, or of a form that is not known here")
	}
	if w.Receipt == nil || *w.Receipt != Version {
		return nil, fmt.Errorf("audit: not a receipt of version %d, the one that is known here", Version)
	}
	if len(w.Proof) > maxProof {
		return nil, errors.New("audit: the receipt's proof is too long for any log")
	}
	record, err := parseLoose(w.Record)
	if err != nil {
		return nil, err
	}
	return &Receipt{Log: w.Log, Index: w.Index, Record: *record, Proof: w.Proof, Checkpoint: []byte(w.Checkpoint)}, nil
}

// plainMembers reports whether no object has a member twice and all names are of small letters, digits and "_": encoding/json
// takes the last of several, and names in other letters for the same, where other programs show the first or none. The data is JSON.
func plainMembers(data []byte) bool {
	type level struct {
		names map[string]bool // nil: an array
		name  bool            // a name comes next
	}
	var stack []level
	dec := json.NewDecoder(bytes.NewReader(data))
	for {
		t, err := dec.Token()
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		top := len(stack) - 1
		switch {
		case t == json.Delim('}') || t == json.Delim(']'):
			stack = stack[:top]
			continue
		case top >= 0 && stack[top].name:
			name, _ := t.(string)
			if stack[top].names[name] || strings.ContainsFunc(name,
				func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' }) {
				return false
			}
			stack[top].names[name], stack[top].name = true, false
			continue
		}
		if top >= 0 && stack[top].names != nil {
			stack[top].name = true // after this value
		}
		switch t {
		case json.Delim('{'):
			stack = append(stack, level{map[string]bool{}, true})
		case json.Delim('['):
			stack = append(stack, level{})
		}
	}
}

// Verify checks all of the receipt with the log's key and returns the checkpoint that covers the record.
func (r *Receipt) Verify(key *Key) (*Checkpoint, error) {
	c, err := key.Open(r.Checkpoint)
	if err != nil {
		return nil, err
	}
	if c.Origin != r.Log {
		return nil, fmt.Errorf("audit: a receipt of log %q with a checkpoint of log %q", r.Log, c.Origin)
	}
	return c, r.includedIn(c)
}

func (r *Receipt) includedIn(c *Checkpoint) error {
	leaf := LeafHash(r.Record.Append(nil))
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, r.Index, c.Size, leaf[:], r.Proof, c.Root[:]); err != nil {
		return fmt.Errorf("audit: the checkpoint does not cover this record as number %d", r.Index)
	}
	return nil
}

// LeafHash is the hash of a record in the tree, RFC 6962 section 2.1.
func LeafHash(record []byte) [32]byte { return [32]byte(rfc6962.DefaultHasher.HashLeaf(record)) }
