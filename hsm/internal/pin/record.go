package pin

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// record is what is remembered of a token's PIN between starts, so that any number of restarts spends one try for each
// distinct PIN. It is kept in one small file and removed by a successful login, or by an operator.
type record struct {
	Serial string `json:"serial"`
	// Attempt is written before C_Login and taken away after it. Found at a start it means that the try was cut short.
	Attempt     *time.Time `json:"attempt,omitempty"`
	Interrupted int        `json:"interrupted,omitempty"`
	Salt        string     `json:"salt,omitempty"`
	Refused     []refusal  `json:"refused,omitempty"`
}

// refusal remembers a PIN by a tag of few bits: a PIN has so few digits that even a slow hash of full length would be
// searched at once. A chance match, one in 1024, only asks for the operator.
type refusal struct {
	Time time.Time `json:"time"`
	Tag  uint16    `json:"tag"`
}

const (
	tagBits       = 10
	tagIterations = 100_000
	maxRefusals   = 64
	maxRecord     = 16 << 10
)

func recordPath(dir, serial string) string {
	return filepath.Join(dir, "pin-"+hex.EncodeToString([]byte(serial))+".json")
}

// officerPath is the record of the security officer's PIN.
func officerPath(dir, serial string) string {
	return filepath.Join(dir, "pin-so-"+hex.EncodeToString([]byte(serial))+".json")
}

// confirmPath is the record of PINs that confirm signatures.
func confirmPath(dir, serial string) string {
	return filepath.Join(dir, "pin-key-"+hex.EncodeToString([]byte(serial))+".json")
}

// lockPath is a file that stays: who removes a lock that others wait for lets two in.
func lockPath(dir, serial string) string {
	return filepath.Join(dir, "pin-"+hex.EncodeToString([]byte(serial))+".lock")
}

func readRecord(path, serial string) (record, error) {
	fail := func(err error) (record, error) {
		return record{}, fmt.Errorf("record of refused PINs %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return record{Serial: serial}, nil
	}
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return fail(errors.Join(err, errors.New("not a regular file")))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err != nil {
		return fail(err)
	}
	r, err := parseRecord(data, serial)
	if err != nil {
		return fail(err)
	}
	return r, nil
}

func parseRecord(data []byte, serial string) (r record, err error) {
	if len(data) > maxRecord {
		return record{}, errors.New("too long")
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, err
	}
	switch {
	case r.Serial != serial:
		return record{}, errors.New("of another token")
	case r.Interrupted < 0, len(r.Refused) > maxRefusals, len(r.Refused) > 0 && r.Salt == "":
		return record{}, errors.New("contradicts itself")
	}
	return r, nil
}

// write replaces the record so that it survives a power cut from here on. What a crash on the way leaves is the old record,
// and the beginning of a new one that the next write takes over.
func (r record) write(path string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	err = give(f)
	if err == nil {
		_, err = f.Write(append(data, '\n'))
	}
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// give hands a new file to the owner of its directory: what an administrator's program leaves there, the service must read.
func give(f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var dir, file unix.Stat_t
	if err := errors.Join(unix.Stat(filepath.Dir(f.Name()), &dir), unix.Fstat(int(f.Fd()), &file)); err != nil {
		return err
	}
	if file.Uid == dir.Uid && file.Gid == dir.Gid { // nothing to do for a root without the right to give files away
		return nil
	}
	return f.Chown(int(dir.Uid), int(dir.Gid))
}

func removeRecord(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// tagged is what a PIN's tag was with a salt.
type tagged struct {
	salt string
	tag  uint16
}

// tag hashes a PIN, whose secret is in hand, with the record's salt. That takes tens of milliseconds on purpose, and only the
// first time: a login that was lost shall be back soon.
func (r *record) tag(p PIN, secret string) (uint16, error) {
	p.s.mutex.Lock()
	known := p.s.tagged
	p.s.mutex.Unlock()
	if r.Salt == "" {
		r.Salt = known.salt
	}
	if r.Salt == "" {
		salt := make([]byte, 16)
		_, _ = rand.Read(salt) // never fails
		r.Salt = hex.EncodeToString(salt)
	}
	if r.Salt == known.salt {
		return known.tag, nil
	}
	key, err := pbkdf2.Key(sha256.New, secret, []byte(r.Salt), tagIterations, 2)
	if err != nil {
		return 0, err
	}
	tag := (uint16(key[0])<<8 | uint16(key[1])) >> (16 - tagBits)
	p.s.mutex.Lock()
	defer p.s.mutex.Unlock()
	p.s.tagged = tagged{r.Salt, tag}
	return tag, nil
}

func (r *record) refused(tag uint16) bool {
	return slices.ContainsFunc(r.Refused, func(x refusal) bool { return x.Tag == tag })
}

func (r *record) refuse(tag uint16) {
	r.Refused = append(r.Refused, refusal{time.Now().UTC().Truncate(time.Second), tag})
	if over := len(r.Refused) - maxRefusals; over > 0 {
		r.Refused = r.Refused[over:]
	}
}

// lock makes the directory when it is missing, and holds the token's record against other processes and goroutines.
func lock(ctx context.Context, dir, serial string) (unlock func(), err error) {
	fail := func(err error) (func(), error) { return nil, &Error{Config, "use the state directory", err} }
	if dir == "" {
		return fail(errors.New("none is given"))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	f, err := os.OpenFile(lockPath(dir, serial), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err == nil {
		err = give(f)
	}
	if err != nil {
		return fail(errors.Join(err, f.Close()))
	}
	for wait := time.Millisecond; ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			f.Close()
			return fail(err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, &Error{Expired, "wait for another login on the token", ctx.Err()}
		case <-time.After(wait):
			wait = min(2*wait, 20*time.Millisecond)
		}
	}
}
