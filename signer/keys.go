package signer

import (
	"context"
	"errors"

	"github.com/epov-signer/epov/signer/report"
)

// KeyInfo is a key as callers may see it.
type KeyInfo struct {
	Key         Key
	Primary     bool
	Fingerprint string        // of the certificate, empty without one
	Unusable    *report.Error // why it would not sign now, nil when it would
}

// ListKeys returns the versions of all keys on which the caller has OpList, in the order of the ring.
func (s *Service) ListKeys(ctx context.Context, caller *Caller) ([]KeyInfo, error) {
	in, err := s.enter(ctx, caller, OpList, 0)
	if err != nil {
		return nil, err
	}
	defer func() { in.leave(s.now()) }()
	return s.ListAgain(caller)
}

// ListAgain is ListKeys for a caller who goes on watching: it counts as no call.
func (s *Service) ListAgain(caller *Caller) ([]KeyInfo, error) {
	var out []KeyInfo
	for _, key := range s.keys.Keys() {
		n, err := ParseKeyName(key.Name())
		if err != nil {
			return nil, asError(err)
		}
		if caller.can(OpList, n) {
			out = append(out, s.info(key, n))
		}
	}
	return out, nil
}

// GetKey returns one key version. Needs OpList on the key.
func (s *Service) GetKey(ctx context.Context, caller *Caller, name string) (KeyInfo, error) {
	key, in, err := s.find(caller, asked{op: OpList, key: name})
	defer func() { in.leave(s.now()) }()
	if err != nil {
		return KeyInfo{}, about(err, name)
	}
	n, err := ParseKeyName(key.Name())
	if err != nil {
		return KeyInfo{}, asError(err)
	}
	if err := expired(ctx); err != nil {
		return KeyInfo{}, err
	}
	return s.info(key, n), nil
}

func (s *Service) info(key Key, n KeyName) KeyInfo {
	info := KeyInfo{Key: key, Fingerprint: fingerprint(key.Certificate())}
	if primary, err := s.keys.Key(n.WithVersion(0).String()); err == nil {
		info.Primary = primary.Name() == key.Name()
	}
	if err := shown(key); err != nil {
		info.Unusable = asError(err)
		return info
	}
	err := available(key)
	if e, ok := errors.AsType[*report.Error](err); !ok ||
		e.Code != report.KeyStaged && e.Code != report.KeyRetired && e.Code != report.KeyDisabled {
		if unusable := s.usable(key, true); unusable != nil { // it tells more than that the token is away
			err = unusable
		}
	}
	if err != nil {
		info.Unusable = asError(err)
	}
	return info
}
