package gost

import (
	"container/list"
	"sync"
)

// prepareAfter is how often a key is met before a KeyCache prepares it: about as many verifications as preparing costs.
const prepareAfter = 8

// KeyCache verifies with any public keys and prepares those that come again, the least recently used giving way. Safe for
// concurrent use.
//
// It takes at most PreparedKeySize octets for each of the prepared keys that NewKeyCache allows, and for each of eight times
// as many 1 KiB for a key that it has met but not prepared and 20 KiB for a certificate; the tables of the base points, once
// for the process, come beside.
type KeyCache struct {
	max      int
	mutex    sync.Mutex
	keys     map[keyID]*list.Element // of *cachedKey
	prepared list.List               // the most recently used first
	met      list.List

	certificates map[string]*Certificate // by their DER
}

// maxCachedCertificate bounds the octets of certificates that a KeyCache keeps.
const maxCachedCertificate = 8 << 10

// keyID tells keys apart as PublicKey.Equal does.
type keyID struct {
	algorithm *Algorithm
	curve     *curve
	raw       [128]byte
}

type cachedKey struct {
	id    keyID
	times int
	key   *PreparedKey // nil in the list of keys met
}

// NewKeyCache allows so many prepared keys, at least 1.
func NewKeyCache(keys int) *KeyCache {
	return &KeyCache{max: max(keys, 1), keys: map[keyID]*list.Element{}, certificates: map[string]*Certificate{}}
}

// Verify is k.Verify, with the same verdicts and errors, and tables when k has come often enough. The call that makes k
// come often enough builds the tables. A nil cache prepares nothing.
func (c *KeyCache) Verify(k *PublicKey, digest, signature []byte) error {
	if c == nil {
		return k.Verify(digest, signature)
	}
	id := keyID{algorithm: k.Algorithm, curve: k.Params.curve}
	copy(id.raw[:], k.raw)
	prepared, build := c.find(&id)
	if build {
		prepared = Prepare(k)
		c.insert(&id, prepared)
	}
	if prepared != nil {
		return prepared.Verify(digest, signature)
	}
	return k.Verify(digest, signature)
}

// CheckSignature is certificate.CheckSignatureFrom(issuer), with tables when the issuer's key has come often enough.
func (c *KeyCache) CheckSignature(certificate, issuer *Certificate) error {
	return certificate.checkSignature(issuer, c)
}

// ParseCertificate is the function of that name. Certificates that come again are not read again: the same is returned, which
// nobody may change. A nil cache keeps none.
func (c *KeyCache) ParseCertificate(der []byte) (*Certificate, error) {
	if c == nil || len(der) > maxCachedCertificate {
		return ParseCertificate(der)
	}
	c.mutex.Lock()
	known := c.certificates[string(der)]
	c.mutex.Unlock()
	if known != nil {
		return known, nil
	}
	parsed, err := ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	parsed.shown()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if len(c.certificates) >= 8*c.max {
		clear(c.certificates)
	}
	c.certificates[string(der)] = parsed
	return parsed, nil
}

// find returns a prepared key, or nil; and whether the caller shall prepare it, which one caller is told.
func (c *KeyCache) find(id *keyID) (_ *PreparedKey, build bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	e := c.keys[*id]
	if e == nil {
		c.keys[*id] = c.met.PushFront(&cachedKey{id: *id, times: 1})
		c.trim(&c.met, 8*c.max)
		return nil, false
	}
	known := e.Value.(*cachedKey)
	if known.key != nil {
		c.prepared.MoveToFront(e)
		return known.key, false
	}
	c.met.MoveToFront(e)
	known.times++
	return nil, known.times == prepareAfter
}

func (c *KeyCache) insert(id *keyID, key *PreparedKey) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if e := c.keys[*id]; e != nil {
		if e.Value.(*cachedKey).key != nil { // another caller met it, and prepared it, after it had given way
			return
		}
		c.met.Remove(e)
	}
	c.keys[*id] = c.prepared.PushFront(&cachedKey{id: *id, key: key})
	c.trim(&c.prepared, c.max)
}

// trim drops what was used least recently.
func (c *KeyCache) trim(l *list.List, length int) {
	for l.Len() > length {
		delete(c.keys, l.Remove(l.Back()).(*cachedKey).id)
	}
}
