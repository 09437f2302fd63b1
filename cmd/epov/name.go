package main

import (
	"regexp"
	"strconv"
	"strings"
)

// keyName is a key version: "keys/{system}/{key}/versions/{n}" for people and the API, "{system}/{key}/{n}" as CKA_ID and
// CKA_LABEL on the token.
type keyName struct {
	system, key string
	version     int
}

var (
	systemPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)
	keyPattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
)

func (n keyName) String() string {
	return "keys/" + n.system + "/" + n.key + "/versions/" + strconv.Itoa(n.version)
}

func (n keyName) id() string { return n.system + "/" + n.key + "/" + strconv.Itoa(n.version) }

func (n keyName) check() error {
	switch {
	case !systemPattern.MatchString(n.system):
		return usagef("%q is not a mnemonic of a system: letters, digits, _ . -, at most 64", n.system)
	case !keyPattern.MatchString(n.key):
		return usagef("%q is not a name of a key: lower-case letters, digits, -, at most 32", n.key)
	case n.version < 1:
		return usagef("versions of keys count from 1")
	}
	return nil
}

// parseKeyName reads the long form; the version is not optional, since a token has no notion of a primary one.
func parseKeyName(s string) (keyName, error) {
	part := strings.Split(s, "/")
	if len(part) != 5 || part[0] != "keys" || part[3] != "versions" {
		return keyName{}, usagef("%q is not the name of a key version, such as keys/EXMP01/ov/versions/1", s)
	}
	return makeKeyName(part[1], part[2], part[4])
}

// parseKeyID reads the form on the token. Keys that other programs made have other ids.
func parseKeyID(id string) (keyName, bool) {
	part := strings.Split(id, "/")
	if len(part) != 3 {
		return keyName{}, false
	}
	n, err := makeKeyName(part[0], part[1], part[2])
	return n, err == nil
}

func makeKeyName(system, key, version string) (keyName, error) {
	n, err := strconv.Atoi(version)
	if err != nil || strconv.Itoa(n) != version {
		return keyName{}, usagef("%q is not a version: a number from 1", version)
	}
	name := keyName{system, key, n}
	return name, name.check()
}
