package signer

import (
	"fmt"
	"regexp"
	"strconv"
)

// KeyName is the parsed name of a key or of one of its versions.
type KeyName struct {
	System  string // mnemonic of the information system
	Key     string // such as "ov"
	Version int    // from 1; 0 when the name leaves it out
}

var keyName = regexp.MustCompile(
	`^keys/([A-Za-z0-9][A-Za-z0-9_.-]{0,63})/([a-z0-9][a-z0-9-]{0,31})(?:/versions/([1-9][0-9]{0,8}))?$`)

// ParseKeyName reads "keys/{system}/{key}" or "keys/{system}/{key}/versions/{n}".
func ParseKeyName(s string) (KeyName, error) {
	m := keyName.FindStringSubmatch(s)
	if m == nil {
		return KeyName{}, fmt.Errorf("a key is named keys/{system}/{key} or keys/{system}/{key}/versions/{n}")
	}
	n := KeyName{System: m[1], Key: m[2]}
	if m[3] != "" {
		n.Version, _ = strconv.Atoi(m[3]) // nine digits always fit
	}
	return n, nil
}

// String is the inverse of [ParseKeyName].
func (n KeyName) String() string {
	if n.Version == 0 {
		return "keys/" + n.System + "/" + n.Key
	}
	return fmt.Sprintf("keys/%s/%s/versions/%d", n.System, n.Key, n.Version)
}

// WithVersion names a version of the key.
func (n KeyName) WithVersion(v int) KeyName {
	n.Version = v
	return n
}

// ID is what the objects of the key are called on a token (CKA_ID and CKA_LABEL): "{system}/{key}/{n}".
func (n KeyName) ID() string { return fmt.Sprintf("%s/%s/%d", n.System, n.Key, n.Version) }
