package signer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// KeyName is the parsed name of a key or of one of its versions.
type KeyName struct {
	System  string // mnemonic of the information system
	Key     string // such as "ov"
	Version int    // from 1; 0 when the name leaves it out
}

// The longest that the parts of a name may be.
const (
	maxSystem  = 64
	maxKey     = 32
	maxVersion = 9 // digits, which always fit
)

var errKeyName = errors.New("a key is named keys/{system}/{key} or keys/{system}/{key}/versions/{n}")

// ParseKeyName reads "keys/{system}/{key}" or "keys/{system}/{key}/versions/{n}": the system of letters, digits, "_", "." and
// "-", the key of small letters, digits and "-", both beginning with a letter or a digit, the number without leading zeros.
func ParseKeyName(s string) (KeyName, error) {
	rest, ok := strings.CutPrefix(s, "keys/")
	system, rest, more := strings.Cut(rest, "/")
	if !ok || !more || !isName(system, maxSystem, true) {
		return KeyName{}, errKeyName
	}
	key, rest, more := strings.Cut(rest, "/")
	if !isName(key, maxKey, false) {
		return KeyName{}, errKeyName
	}
	n := KeyName{System: system, Key: key}
	if !more {
		return n, nil
	}
	digits, ok := strings.CutPrefix(rest, "versions/")
	if !ok || len(digits) == 0 || len(digits) > maxVersion || digits[0] == '0' {
		return KeyName{}, errKeyName
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return KeyName{}, errKeyName
		}
		n.Version = 10*n.Version + int(digits[i]-'0')
	}
	return n, nil
}

// isName tells whether a part of a name is one; large: of systems, which have more letters.
func isName(s string, most int, large bool) bool {
	if len(s) == 0 || len(s) > most {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', large && 'A' <= c && c <= 'Z':
		case i > 0 && (c == '-' || large && (c == '_' || c == '.')):
		default:
			return false
		}
	}
	return true
}

// String is the inverse of [ParseKeyName].
func (n KeyName) String() string {
	if n.Version == 0 {
		return "keys/" + n.System + "/" + n.Key
	}
	return "keys/" + n.System + "/" + n.Key + "/versions/" + strconv.Itoa(n.Version)
}

// WithVersion names a version of the key.
func (n KeyName) WithVersion(v int) KeyName {
	n.Version = v
	return n
}

// ID is what the objects of the key are called on a token (CKA_ID and CKA_LABEL): "{system}/{key}/{n}".
func (n KeyName) ID() string { return fmt.Sprintf("%s/%s/%d", n.System, n.Key, n.Version) }
