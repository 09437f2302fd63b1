package tlog

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"

	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/report"
)

// published is the newest checkpoint that can be read, and what proofs under it are made with.
type published struct {
	audit.Checkpoint
	raw   []byte
	newer chan struct{} // closed when there is a newer one

	mu    sync.Mutex
	proof *client.ProofBuilder
}

// telling is a signer that says when it has signed: the checkpoint is published right after that. It spares the token what
// cannot be published.
type telling struct {
	note.Signer
	dir    string
	signed chan string
}

func (t *telling) Sign(text []byte) ([]byte, error) {
	if err := writable(t.dir); err != nil {
		return nil, err
	}
	signature, err := t.Signer.Sign(text)
	if err == nil {
		select {
		case <-t.signed: // that one is not waited for any more
		default:
		}
		t.signed <- string(text) // there is room: nobody else signs meanwhile
	}
	return signature, err
}

// watch looks for each checkpoint that was signed until it is published, and has refusals told of that were left out.
func (l *Log) watch() {
	const first, most = time.Millisecond, 100 * time.Millisecond
	owed := time.NewTicker(10 * time.Second)
	defer owed.Stop()
	look := time.NewTimer(0)
	defer look.Stop()
	var awaited string
	wait := most
	for {
		select {
		case <-owed.C:
			l.refusals.flush(l)
		case awaited = <-l.signed:
			wait = first
			look.Reset(0)
		case <-look.C:
			l.see()
			if p := l.published.Load(); p == nil || !strings.HasPrefix(string(p.raw), awaited) {
				look.Reset(wait)
				wait = min(2*wait, most)
			}
		case <-l.stop:
			return
		}
	}
}

// see takes note of the published checkpoint, if it is a new one.
func (l *Log) see() {
	raw, err := l.reader.ReadCheckpoint(context.Background())
	if err != nil {
		return
	}
	old := l.published.Load()
	if old != nil && bytes.Equal(raw, old.raw) {
		return
	}
	c, err := audit.ReadCheckpoint(raw)
	if err != nil {
		l.log.Warn("the audit log's checkpoint cannot be read", "error", err)
		return
	}
	proof, err := client.NewProofBuilder(context.Background(), c.Size, l.reader.ReadTile)
	if err != nil {
		l.log.Warn("the audit log's checkpoint cannot be used", "error", err)
		return
	}
	l.published.Store(&published{Checkpoint: *c, raw: raw, newer: make(chan struct{}), proof: proof})
	if old != nil {
		close(old.newer)
	}
}

// Checkpoint is the newest signed checkpoint.
func (l *Log) Checkpoint() ([]byte, error) {
	p := l.published.Load()
	if p == nil {
		return nil, unavailable("the audit log has no checkpoint yet", nil, l.cfg.Interval)
	}
	return p.raw, nil
}

// Receipt proves the record to be in the log. It waits for a checkpoint that covers the record, as long as ctx lasts. Errors
// are *report.Error or that of ctx.
func (l *Log) Receipt(ctx context.Context, index uint64) (*audit.Receipt, error) {
	l.mu.Lock()
	next := l.next
	l.mu.Unlock()
	if index >= next {
		return nil, report.Errorf(report.RecordUnknown, report.Place{Path: "index"}, "the log has no record %d", index)
	}
	for {
		p := l.published.Load()
		if p == nil {
			return nil, unavailable("the audit log has no checkpoint yet", nil, l.cfg.Interval)
		}
		if index < p.Size {
			return l.receipt(ctx, p, index)
		}
		wake(l.wanted)
		select {
		case <-p.newer:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.stop:
			return nil, unavailable("the audit log is closed", nil, time.Second)
		}
	}
}

func (l *Log) receipt(ctx context.Context, p *published, index uint64) (*audit.Receipt, error) {
	damaged := func(err error) error {
		return &report.Error{Code: report.Internal, Message: "the audit log cannot be read", Err: err}
	}
	record, err := readRecord(ctx, l.reader, index, p.Size)
	if err != nil {
		return nil, damaged(err)
	}
	p.mu.Lock()
	path, err := p.proof.InclusionProof(ctx, index)
	p.mu.Unlock()
	if err != nil {
		return nil, damaged(err)
	}
	return &audit.Receipt{Log: l.cfg.Origin, Index: index, Record: *record, Proof: path, Checkpoint: p.raw}, nil
}

// readRecord reads a record of a tree of size records.
func readRecord(ctx context.Context, from files, index, size uint64) (*audit.Record, error) {
	records, err := readBundle(ctx, from, index, size)
	if err != nil {
		return nil, err
	}
	return audit.Parse(records[0])
}

// readBundle reads the record of an index, and those that follow it in the same file.
func readBundle(ctx context.Context, from files, index, size uint64) ([][]byte, error) {
	number := index / layout.EntryBundleWidth
	data, err := from.ReadEntryBundle(ctx, number, layout.PartialTileSize(0, number, size))
	if err != nil {
		return nil, err
	}
	var bundle api.EntryBundle
	if err := bundle.UnmarshalText(data); err != nil {
		return nil, fmt.Errorf("entry bundle %d: %w", number, err)
	}
	first := number * layout.EntryBundleWidth
	end := min(first+layout.EntryBundleWidth, size)
	if index >= end || uint64(len(bundle.Entries)) < end-first {
		return nil, fmt.Errorf("entry bundle %d ends before record %d", number, index)
	}
	return bundle.Entries[index-first : end-first], nil
}

// signer is who signs the checkpoints, and notes the key that checks them.
func (l *Log) signer() (note.Signer, error) {
	if l.cfg.Signer != nil {
		if l.cfg.Signer.Name() != l.cfg.Origin {
			return nil, fmt.Errorf("audit log: the checkpoints of %q cannot be signed by the name %q", l.cfg.Origin, l.cfg.Signer.Name())
		}
		if k, ok := l.cfg.Signer.(interface{ VerifierKey() string }); ok {
			l.key = k.VerifierKey()
		}
	} else if err := l.fileSigner(); err != nil {
		return nil, err
	}
	l.publishKey()
	return l.cfg.Signer, nil
}

// fileSigner reads the key in the directory, or makes one for a new log.
func (l *Log) fileSigner() error {
	name := filepath.Join(l.cfg.Dir, "checkpoint.key")
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		secret, _, err := note.GenerateKey(rand.Reader, l.cfg.Origin)
		if err != nil {
			return fmt.Errorf("audit log: %w", err)
		}
		data = []byte(secret + "\n")
		if err := replaceFile(name, data); err != nil {
			return fmt.Errorf("audit log: %w", err)
		}
	} else if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	defer clear(data)
	secret := strings.TrimSpace(string(data))
	signer, err := note.NewSigner(secret)
	if err != nil {
		return fmt.Errorf("audit log: %s is not a key that signs checkpoints", name)
	}
	if l.key, err = verifierKeyOf(secret); err != nil {
		return fmt.Errorf("audit log: %s: %w", name, err)
	}
	if signer.Name() != l.cfg.Origin {
		return fmt.Errorf("audit log: %s signs for the log %q, not for %q", name, signer.Name(), l.cfg.Origin)
	}
	l.cfg.Signer = signer
	return nil
}

// verifierKeyOf is the public part of an Ed25519 key as package note writes it: PRIVATE+KEY+name+id+base64(1 ‖ seed).
func verifierKeyOf(secret string) (string, error) {
	parts := strings.SplitN(secret, "+", 5)
	seed, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(parts) != 5 || len(seed) != 1+ed25519.SeedSize {
		return "", errors.New("not an Ed25519 key")
	}
	defer clear(seed)
	return note.NewEd25519VerifierKey(parts[2], ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey))
}

// KeyFile is where in its directory a log leaves its verifier key.
const KeyFile = "log.pub"

// publishKey leaves the verifier key where people look for it.
func (l *Log) publishKey() {
	name, data := filepath.Join(l.cfg.Dir, KeyFile), []byte(l.key+"\n")
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, data) {
		return
	}
	if err := replaceFile(name, data); err != nil {
		l.log.Warn("the audit log's verifier key was not written", "error", err)
	}
}

// replaceFile writes a file as a whole or not at all, for its owner only.
func replaceFile(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(name))
}
