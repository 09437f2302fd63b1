package signer

import (
	"context"

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
	if !caller.has(OpList) {
		return nil, report.Errorf(report.AccessDenied, report.Place{}, "%s is not granted", OpList)
	}
	if err := expired(ctx); err != nil {
		return nil, err
	}
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
	key, err := s.find(caller, OpList, name)
	if err != nil {
		return KeyInfo{}, err
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
	err := s.usable(key, true)
	if a, ok := key.(Availability); ok && err == nil {
		err = a.Available()
	}
	if err != nil {
		info.Unusable = asError(err)
	}
	return info
}
