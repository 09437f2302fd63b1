package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// timeForm is RFC 3339 in UTC with microseconds, always of one length.
const timeForm = "2006-01-02T15:04:05.000000Z"

// Append appends the record's canonical form: JSON (RFC 8259) in one line, members in the order below, empty ones left out, no
// white space, strings escaped as RFC 8785 section 3.2.2.2 says. What a caller sent may be anything: octets that are not
// UTF-8 become U+FFFD.
func (r *Record) Append(b []byte) []byte {
	b = append(b, `{"v":`...)
	b = strconv.AppendInt(b, Version, 10)
	b = append(b, `,"time":"`...)
	b = r.Time.UTC().AppendFormat(b, timeForm)
	b = append(b, '"')
	b = appendText(b, "kind", string(r.Kind))
	b = appendText(b, "caller", r.Caller)
	b = appendText(b, "role", r.Role)
	b = appendText(b, "operation", r.Operation)
	b = appendText(b, "key", r.Key)
	b = appendText(b, "certificate", r.Certificate)
	b = appendText(b, "profile", r.Profile)
	if len(r.Digests) > 0 {
		b = append(b, `,"digests":[`...)
		for i, d := range r.Digests {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"of":`...)
			b = appendString(b, d.Of)
			b = append(b, `,"algorithm":`...)
			b = appendString(b, d.Algorithm)
			b = append(b, `,"value":`...)
			b = appendString(b, d.Value)
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	b = appendText(b, "signature", r.Signature)
	b = appendText(b, "request", r.Request)
	b = appendText(b, "token", r.Token)
	b = appendTime(b, "queue_us", r.Queue)
	b = appendTime(b, "sign_us", r.Sign)
	b = appendTime(b, "verify_us", r.Verify)
	b = appendTime(b, "total_us", r.Total)
	if r.Retried {
		b = append(b, `,"retried":true`...)
	}
	b = appendText(b, "outcome", r.Outcome)
	b = appendText(b, "incident", r.Incident)
	if r.Original != nil {
		b = append(b, `,"original":`...)
		b = strconv.AppendUint(b, *r.Original, 10)
	}
	if r.Dropped > 0 {
		b = append(b, `,"dropped":`...)
		b = strconv.AppendUint(b, r.Dropped, 10)
	}
	b = appendText(b, "subject", r.Subject)
	return append(b, '}')
}

func appendText(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return appendString(b, value)
}

func appendTime(b []byte, name string, d time.Duration) []byte {
	if d < time.Microsecond {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return strconv.AppendInt(b, d.Microseconds(), 10)
}

func appendString(b []byte, s string) []byte {
	const hexadecimal = "0123456789abcdef"
	b = append(b, '"')
	begun := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(b, s[begun:i]...)
				b = append(b, "\ufffd"...)
				begun = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[begun:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, '\\', 'b')
		case '\t':
			b = append(b, '\\', 't')
		case '\n':
			b = append(b, '\\', 'n')
		case '\f':
			b = append(b, '\\', 'f')
		case '\r':
			b = append(b, '\\', 'r')
		default:
			b = append(b, '\\', 'u', '0', '0', hexadecimal[c>>4], hexadecimal[c&15])
		}
		i++
		begun = i
	}
	b = append(b, s[begun:]...)
	return append(b, '"')
}

// wire is the record as encoding/json reads it.
type wire struct {
	V           *int         `json:"v"`
	Time        string       `json:"time"`
	Kind        Kind         `json:"kind"`
	Caller      string       `json:"caller"`
	Role        string       `json:"role"`
	Operation   string       `json:"operation"`
	Key         string       `json:"key"`
	Certificate string       `json:"certificate"`
	Profile     string       `json:"profile"`
	Digests     []wireDigest `json:"digests"`
	Signature   string       `json:"signature"`
	Request     string       `json:"request"`
	Token       string       `json:"token"`
	Queue       int64        `json:"queue_us"`
	Sign        int64        `json:"sign_us"`
	Verify      int64        `json:"verify_us"`
	Total       int64        `json:"total_us"`
	Retried     bool         `json:"retried"`
	Outcome     string       `json:"outcome"`
	Incident    string       `json:"incident"`
	Original    *uint64      `json:"original"`
	Dropped     uint64       `json:"dropped"`
	Subject     string       `json:"subject"`
}

type wireDigest struct {
	Of        string `json:"of"`
	Algorithm string `json:"algorithm"`
	Value     string `json:"value"`
}

// maxMicroseconds is what a time.Duration holds.
const maxMicroseconds = int64(1<<63-1) / int64(time.Microsecond)

// Parse reads a record in its canonical form, octet for octet: whatever [Record.Append] would not write is refused.
func Parse(data []byte) (*Record, error) {
	r, err := parseLoose(data)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(r.Append(make([]byte, 0, len(data)+16)), data) {
		return nil, errors.New("audit: the record is not in its canonical form")
	}
	return r, nil
}

// parseLoose reads a record whose members may be in another order or spread over lines, as other programs write JSON.
func parseLoose(data []byte) (*Record, error) {
	if len(data) > MaxRecordBytes {
		return nil, fmt.Errorf("audit: a record of %d bytes, the limit is %d", len(data), MaxRecordBytes)
	}
	var version struct {
		V *int `json:"v"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, errors.New("audit: the record is not JSON")
	}
	if version.V == nil || *version.V != Version {
		return nil, fmt.Errorf("audit: the record is not of version %d, the one that is known here", Version)
	}
	var w wire
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return nil, errors.New("audit: the record has members that no record has")
	}
	if !slices.Contains(Kinds, w.Kind) {
		return nil, errors.New("audit: the record is of no kind that is known here")
	}
	at, err := time.Parse(timeForm, w.Time)
	if err != nil {
		return nil, errors.New("audit: the record's time is not of the form " + timeForm)
	}
	r := &Record{
		Time: at, Kind: w.Kind, Caller: w.Caller, Role: w.Role, Operation: w.Operation, Key: w.Key, Certificate: w.Certificate,
		Profile: w.Profile, Signature: w.Signature, Request: w.Request, Token: w.Token, Retried: w.Retried, Outcome: w.Outcome,
		Incident: w.Incident, Original: w.Original, Dropped: w.Dropped, Subject: w.Subject,
	}
	for _, d := range w.Digests {
		r.Digests = append(r.Digests, Digest(d))
	}
	for _, d := range []struct {
		us int64
		to *time.Duration
	}{{w.Queue, &r.Queue}, {w.Sign, &r.Sign}, {w.Verify, &r.Verify}, {w.Total, &r.Total}} {
		if d.us < 0 || d.us > maxMicroseconds {
			return nil, errors.New("audit: a duration of the record is out of range")
		}
		*d.to = time.Duration(d.us) * time.Microsecond
	}
	return r, nil
}
