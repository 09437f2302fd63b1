package explain

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"slices"
	"strings"

	"github.com/epov-signer/epov/gost"
)

// hashes are those that are met in place of each other. The others than GOST's are never accepted: they are known here to
// be named.
var hashes = []struct {
	name string
	new  func() hash.Hash
}{
	{gost.Streebog256.Name, gost.Streebog256.New},
	{gost.Streebog512.Name, gost.Streebog512.New},
	{gost.GOSTR341194.Name, gost.GOSTR341194.New},
	{"sha1", sha1.New},
	{"sha256", sha256.New},
	{"sha384", sha512.New384},
	{"sha512", sha512.New},
}

// foreign are the identifiers of digests that are not GOST's: a digest that is what they say is not mistaken for another.
var foreign = map[string]string{
	"http://www.w3.org/2000/09/xmldsig#sha1":        "sha1",
	"http://www.w3.org/2001/04/xmlenc#sha256":       "sha256",
	"http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
	"http://www.w3.org/2001/04/xmlenc#sha512":       "sha512",
	"1.3.14.3.2.26":          "sha1",
	"2.16.840.1.101.3.4.2.1": "sha256",
	"2.16.840.1.101.3.4.2.2": "sha384",
	"2.16.840.1.101.3.4.2.3": "sha512",
}

// hashName names the hash that an identifier of XMLDSig or CMS stands for; empty for an unknown one.
func hashName(identifier string, stated *gost.Digest) string {
	if stated != nil {
		return stated.Name
	}
	return foreign[identifier]
}

// wanted is a digest as a message has it, in the ways in which it may be read.
type wanted struct {
	stated   string // name of the hash that the message states, empty when it is not known
	readings []reading
}

type reading struct {
	octets   []byte
	mistakes []Mistake
	what     string
}

// readDigest reads the text of a DigestValue.
func readDigest(text, stated string) *wanted {
	w := &wanted{stated: stated}
	for _, r := range readValue(text, DigestAlphabet) {
		w.add(r)
	}
	return w
}

func (w *wanted) add(r reading) {
	w.readings = append(w.readings, r)
	back := bytes.Clone(r.octets)
	slices.Reverse(back)
	w.readings = append(w.readings, reading{back, append(slices.Clone(r.mistakes), DigestReversed), r.what})
	if octets, err := hex.DecodeString(string(r.octets)); err == nil && len(octets) > 0 {
		w.readings = append(w.readings, reading{octets, append(slices.Clone(r.mistakes), DigestHex), r.what})
	}
}

// readValue reads the text of a value that should be base64, and in other ways where it is not.
func readValue(text string, m Mistake) []reading {
	joined := strings.Join(strings.Fields(text), "")
	var out []reading
	if octets, err := base64.StdEncoding.DecodeString(joined); err == nil {
		out = append(out, reading{octets: octets})
	} else if octets, err := base64.RawStdEncoding.DecodeString(joined); err == nil {
		out = append(out, reading{octets, []Mistake{m}, "base64 without '=' at its end"})
	} else if octets, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(joined, "=")); err == nil {
		out = append(out, reading{octets, []Mistake{m}, "base64url"})
	}
	if octets, err := hex.DecodeString(joined); err == nil && len(octets) >= 20 {
		out = append(out, reading{octets, []Mistake{m}, "hexadecimal"})
	}
	return out
}

// match digests octets with the hashes that may be meant, the one stated first and alone where all is false. It returns
// what is wrong about the digest, nothing when it is the one stated as it should be.
func (w *wanted) match(s *search, octets []byte, all bool) (mistakes []Mistake, what []string, ok bool) {
	for _, h := range hashes {
		same := h.name == w.stated
		if !same && !all {
			continue
		}
		hash := h.new()
		if !slices.ContainsFunc(w.readings, func(r reading) bool { return len(r.octets) == hash.Size() }) || !s.spend(len(octets)) {
			continue
		}
		hash.Write(octets)
		sum := hash.Sum(nil)
		hash.Reset()
		hash.Write(sum)
		twice := hash.Sum(nil)
		for _, r := range w.readings {
			mistakes = slices.Clone(r.mistakes)
			switch {
			case bytes.Equal(r.octets, sum):
			case bytes.Equal(r.octets, twice):
				mistakes = append(mistakes, DigestTwice)
			default:
				continue
			}
			if r.what != "" {
				what = append(what, r.what)
			}
			if !same {
				mistakes, what = append(mistakes, DigestAlgorithm), append(what, "the digest is that of "+h.name)
			}
			return mistakes, what, true
		}
	}
	return nil, nil, false
}
