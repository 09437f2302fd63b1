package cms

import (
	"encoding/asn1"
	"math/big"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/signer/report"
)

var oidTSTInfo = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}

// Bounds of a TSTInfo.
const (
	maxTSTInfo    = 16 << 10
	maxTSTInteger = 64 // octets of serialNumber and nonce; RFC 3161 asks for 20
)

// maxTokenSize bounds a time-stamp token, its certificates included.
const maxTokenSize = 1 << 20

// TimeStamp is a TimeStampToken as it reads (RFC 3161 section 2.4.2); nothing in it has been checked. Immutable.
type TimeStamp struct {
	Time     time.Time     // genTime, UTC
	Accuracy time.Duration // how far off genTime may be, either way; 0 when not stated
	Policy   asn1.ObjectIdentifier
	Serial   *big.Int
	Nonce    *big.Int              // nil when absent
	Digest   asn1.ObjectIdentifier // of the imprint
	Imprint  []byte

	message *signedData
	unknown string // what is there that is not understood
}

// ParseTimeStamp reads a token: BER outside, as any SignedData, with a TSTInfo in DER and one signer. Errors are
// *report.Error.
func ParseTimeStamp(token []byte) (*TimeStamp, error) {
	sd, err := parse(token, Limits{Size: maxTokenSize}.withDefaults())
	if err != nil {
		return nil, err
	}
	bad := func(format string, args ...any) error {
		return report.Errorf(report.TimeStampToken, report.Place{}, format, args...)
	}
	switch {
	case !sd.contentType.Equal(oidTSTInfo):
		return nil, bad("the content type is %s, not TSTInfo", sd.contentType)
	case sd.content == nil:
		return nil, bad("the token has no TSTInfo")
	case len(sd.content) > maxTSTInfo:
		return nil, bad("TSTInfo has %d octets, the limit is %d", len(sd.content), maxTSTInfo)
	case len(sd.signers) != 1:
		return nil, bad("the token has %d signers where one must be", len(sd.signers))
	}
	ts := &TimeStamp{message: sd}
	if field := ts.parse(sd.content); field != "" {
		return nil, bad("TSTInfo.%s cannot be read", field)
	}
	return ts, nil
}

// parse reads TSTInfo and returns the name of the field that it cannot read, or "".
func (ts *TimeStamp) parse(der cryptobyte.String) string {
	var in, imprint, algorithm cryptobyte.String
	var version int64
	if !der.ReadASN1(&in, cbasn1.SEQUENCE) || !der.Empty() || !in.ReadASN1Integer(&version) {
		return "version"
	}
	if version != 1 {
		ts.unknown = "its version is not 1"
	}
	if !in.ReadASN1ObjectIdentifier(&ts.Policy) {
		return "policy"
	}
	if !in.ReadASN1(&imprint, cbasn1.SEQUENCE) || !imprint.ReadASN1(&algorithm, cbasn1.SEQUENCE) ||
		!algorithm.ReadASN1ObjectIdentifier(&ts.Digest) || !imprint.ReadASN1Bytes(&ts.Imprint, cbasn1.OCTET_STRING) || !imprint.Empty() {
		return "messageImprint"
	}
	if ts.Serial = readInteger(&in); ts.Serial == nil {
		return "serialNumber"
	}
	var text cryptobyte.String
	var ok bool
	if !in.ReadASN1(&text, cbasn1.GeneralizedTime) {
		return "genTime"
	}
	if ts.Time, ok = parseGeneralizedTime(string(text)); !ok {
		return "genTime"
	}
	if in.PeekASN1Tag(cbasn1.SEQUENCE) {
		if ts.Accuracy, ok = readAccuracy(&in); !ok {
			return "accuracy"
		}
	}
	var ordering bool
	if in.PeekASN1Tag(cbasn1.BOOLEAN) && !in.ReadASN1Boolean(&ordering) {
		return "ordering"
	}
	if in.PeekASN1Tag(cbasn1.INTEGER) {
		if ts.Nonce = readInteger(&in); ts.Nonce == nil {
			return "nonce"
		}
	}
	if !in.SkipOptionalASN1(cbasn1.Tag(0).ContextSpecific().Constructed()) {
		return "tsa"
	}
	return ts.parseExtensions(&in)
}

// parseExtensions looks for critical ones: none are known here.
func (ts *TimeStamp) parseExtensions(in *cryptobyte.String) string {
	var list cryptobyte.String
	var present bool
	if !in.ReadOptionalASN1(&list, &present, cbasn1.Tag(1).ContextSpecific().Constructed()) || !in.Empty() {
		return "extensions"
	}
	for n := 0; !list.Empty(); n++ {
		var extension cryptobyte.String
		var oid asn1.ObjectIdentifier
		var critical bool
		if n == maxAttributes || !list.ReadASN1(&extension, cbasn1.SEQUENCE) || !extension.ReadASN1ObjectIdentifier(&oid) ||
			extension.PeekASN1Tag(cbasn1.BOOLEAN) && !extension.ReadASN1Boolean(&critical) ||
			!extension.SkipASN1(cbasn1.OCTET_STRING) || !extension.Empty() {
			return "extensions"
		}
		if critical {
			ts.unknown = "it has the critical extension " + oid.String()
		}
	}
	return ""
}

func readInteger(in *cryptobyte.String) *big.Int {
	n := new(big.Int)
	if !in.ReadASN1Integer(n) || n.BitLen() > maxTSTInteger*8 {
		return nil
	}
	return n
}

// readAccuracy reads Accuracy: seconds, milliseconds and microseconds, each optional.
func readAccuracy(in *cryptobyte.String) (total time.Duration, ok bool) {
	const longest = 366 * 24 * 3600 // seconds; an hour is much already
	var body cryptobyte.String
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) {
		return 0, false
	}
	var seconds int64
	if body.PeekASN1Tag(cbasn1.INTEGER) && (!body.ReadASN1Integer(&seconds) || seconds < 0 || seconds > longest) {
		return 0, false
	}
	total = time.Duration(seconds) * time.Second
	for i, unit := range []time.Duration{time.Millisecond, time.Microsecond} {
		tag := cbasn1.Tag(i).ContextSpecific()
		if !body.PeekASN1Tag(tag) {
			continue
		}
		var n int64
		if !body.ReadASN1Int64WithTag(&n, tag) || n < 1 || n > 999 {
			return 0, false
		}
		total += time.Duration(n) * unit
	}
	return total, body.Empty()
}

// parseGeneralizedTime reads YYYYMMDDhhmmss[.fraction]Z (RFC 3161 section 2.4.2), with at most nine digits of fraction. Zeros
// at the end of it are against DER, and tolerated.
func parseGeneralizedTime(text string) (time.Time, bool) {
	whole, zulu := strings.CutSuffix(text, "Z")
	whole, fraction, fractional := strings.Cut(whole, ".")
	if !zulu || len(whole) != 14 || fractional && (fraction == "" || len(fraction) > 9) {
		return time.Time{}, false
	}
	for _, c := range []byte(whole + fraction) {
		if c < '0' || c > '9' {
			return time.Time{}, false
		}
	}
	layout, value := "20060102150405", whole
	if fractional {
		layout, value = layout+".999999999", whole+"."+fraction
	}
	t, err := time.Parse(layout, value)
	return t, err == nil
}

// Prepare makes a token with the fields of ts, except Imprint, which must be the digest itself: this is what a time-stamping
// authority does. The certificate is included when in.Chain is not nil, with that chain. in.Content and in.Digest are not used.
func (ts *TimeStamp) Prepare(in Input) (*Prepared, error) {
	in.Digest, in.Content, in.Time = nil, nil, ts.Time
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1ObjectIdentifier(ts.Policy)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addAlgorithm(b, ts.Digest)
			b.AddASN1OctetString(ts.Imprint)
		})
		b.AddASN1BigInt(ts.Serial)
		b.AddASN1(cbasn1.GeneralizedTime, func(b *cryptobyte.Builder) { b.AddBytes([]byte(formatGeneralizedTime(ts.Time))) })
		addAccuracy(b, ts.Accuracy)
		if ts.Nonce != nil {
			b.AddASN1BigInt(ts.Nonce)
		}
	})
	info, err := b.Bytes()
	if err != nil {
		return nil, &report.Error{Code: report.RequestInvalid, Message: "the time-stamp cannot be encoded", Err: err}
	}
	in.Content = info
	p, err := timeStampToken.Prepare(in)
	if err != nil {
		return nil, err
	}
	p.bare = in.Chain == nil
	return p, nil
}

// timeStampToken is the shape of a token: SignedData like CAdES-BES with another content type.
var timeStampToken = &Profile{CAdES: true, contentType: oidTSTInfo}

// formatGeneralizedTime writes the fraction without zeros at its end, down to microseconds.
func formatGeneralizedTime(t time.Time) string {
	text := t.UTC().Truncate(time.Microsecond).Format("20060102150405.999999")
	return text + "Z"
}

// addAccuracy writes nothing for 0.
func addAccuracy(b *cryptobyte.Builder, d time.Duration) {
	if d <= 0 {
		return
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if n := d / time.Second; n > 0 {
			b.AddASN1Int64(int64(n))
		}
		for i, n := range []time.Duration{d / time.Millisecond % 1000, d / time.Microsecond % 1000} {
			if n > 0 {
				b.AddASN1Int64WithTag(int64(n), cbasn1.Tag(i).ContextSpecific())
			}
		}
	})
}

// Imprint digests octets with the digest of that name, as a request for a time-stamp needs it: the names are those of package
// gost, and "sha256", "sha384", "sha512". ok is false for others.
func Imprint(name string, octets []byte) (oid asn1.ObjectIdentifier, digest []byte, ok bool) {
	for _, d := range digests {
		if d.name == name && !d.weak {
			return d.oid, sum(d.new(), octets), true
		}
	}
	return nil, nil, false
}

// ImprintSize is the length of an imprint made with a digest; 0 when the digest is unknown or too weak.
func ImprintSize(oid asn1.ObjectIdentifier) int {
	if d := digestByOID(oid); d != nil && !d.weak {
		return d.size
	}
	return 0
}
