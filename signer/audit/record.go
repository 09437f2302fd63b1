package audit

import (
	"fmt"
	"time"
)

// Version is the version of the form of records.
const Version = 1

// MaxRecordBytes bounds a record's canonical form.
const MaxRecordBytes = 16 << 10

// Kind says what a record is about.
type Kind string

const (
	Signature      Kind = "signature"      // a signature was made
	Refusal        Kind = "refusal"        // a recognised caller asked for a signature and got none
	Replay         Kind = "replay"         // the answer to an earlier request was given once more
	Administrative Kind = "administrative" // the service or a key was changed
)

// Kinds is the whole list.
var Kinds = []Kind{Signature, Refusal, Replay, Administrative}

// Done is the outcome of what succeeded; every other outcome is a report.Code.
const Done = "done"

// Record is one act. It tells who had what done with which key, and holds digests only: never a document, a message or a
// signature itself. Fields that are empty are left out of its canonical form.
type Record struct {
	Time      time.Time // when the act ended, in whole microseconds
	Kind      Kind
	Caller    string // name of the client
	Role      string // role of the client that allowed or refused it
	Operation string // right that was used, such as "sign-xml"; of administrative acts the act
	Key       string // exact version when it is known, else the name as it was asked for
	// Certificate is the Streebog-256 of the key's certificate, hexadecimal.
	Certificate string
	Profile     string
	Digests     []Digest // of what was signed
	// Signature is the Streebog-256 of the signature value s ‖ r, hexadecimal. It leads from a signed document to its record.
	Signature string
	Request   string // request_id of the caller
	Token     string // that signed
	// Queue, Sign, Verify and Total are how long the request waited for its token, the token signed, the signature was checked,
	// and all of it took, in whole microseconds.
	Queue, Sign, Verify, Total time.Duration
	Retried                    bool   // on another session or token
	Outcome                    string // [Done] or a report.Code; "refused" for a change that was not taken over
	Incident                   string // under which the service's own log has more
	Original                   *uint64
	Dropped                    uint64 // refusals of this caller since the last one recorded that were not recorded
	Subject                    string // of an administrative act: what it was done to
}

// What the digests of a signature's record are of.
const (
	OfSigned  = "signed"  // what the token signed: XML SignedInfo, CMS signed attributes; or the bare digest that was sent
	OfContent = "content" // what the caller had signed: the DigestValue of an XML reference, messageDigest of a CMS message
)

// Digest is the digest of something that was signed.
type Digest struct {
	Of        string // [OfSigned], [OfContent]; of administrative acts "file PATH"
	Algorithm string // name of a gost.Digest
	Value     string // hexadecimal, octets in the order the hash emits them
}

// Entry is a record's place in a log; the zero value is no place at all: nothing was recorded, or nobody waited for it.
type Entry struct {
	Log   string // origin line of the log
	Index uint64 // from 0
}

// Recorded reports whether the entry is a place.
func (e Entry) Recorded() bool { return e.Log != "" }

func (e Entry) String() string {
	if !e.Recorded() {
		return ""
	}
	return fmt.Sprintf("%s#%d", e.Log, e.Index)
}
