// Package pin holds PINs and guards tokens against wrong ones: where a PIN comes from, how it is kept in memory, and the one
// try that it gets.
package pin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxLength bounds what is read as a PIN, in octets.
const MaxLength = 256

// PIN is a secret that prints, logs and marshals as "[redacted]". It lies in memory of its own, outside the heap, which is
// neither swapped out nor dumped where the system allows that (see [CheckMemory]). The zero value is no PIN. Copies share
// the secret. Safe for concurrent use.
type PIN struct{ s *secret }

type secret struct {
	mutex sync.Mutex
	page  []byte // all of the memory
	n     int    // length of the PIN at its start
	users int
	wiped bool

	tagged tagged // the last tag that was worked out for a record
}

const redacted = "[redacted]"

// NewPIN takes a copy of octets.
func NewPIN(octets []byte) PIN {
	s := &secret{n: len(octets)}
	page, mapped, _ := memory(len(octets))
	if s.page = page; mapped {
		runtime.AddCleanup(s, func(page []byte) { clear(page); _ = unix.Munmap(page) }, page)
	}
	copy(s.page, octets)
	return PIN{s}
}

// memory gives at least n octets, outside the heap where that can be done. The error says what protection is missing.
func memory(n int) (page []byte, mapped bool, err error) {
	size := max(1, (n+os.Getpagesize()-1)/os.Getpagesize()) * os.Getpagesize()
	page, err = unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return make([]byte, size), false, fmt.Errorf("mmap: %w", err)
	}
	var errs []error
	if err := unix.Mlock(page); err != nil {
		errs = append(errs, fmt.Errorf("mlock: %w", err))
	}
	for _, advice := range []int{unix.MADV_DONTDUMP, unix.MADV_WIPEONFORK} {
		if err := unix.Madvise(page, advice); err != nil {
			errs = append(errs, fmt.Errorf("madvise: %w", err))
		}
	}
	return page, true, errors.Join(errs...)
}

// CheckMemory tells why PINs would be kept without all of the protection, such as a limit of locked memory; nil when
// nothing is missing. They are kept all the same.
func CheckMemory() error {
	page, mapped, err := memory(1)
	if mapped {
		_ = unix.Munmap(page)
	}
	return err
}

// Use lends the secret to f and returns its error. The string is no copy: f must not keep it, for the memory is overwritten
// and given back. It is empty when there is no PIN, or it was wiped.
func (p PIN) Use(f func(secret string) error) error {
	if p.s == nil {
		return f("")
	}
	p.s.mutex.Lock()
	if p.s.wiped {
		p.s.mutex.Unlock()
		return f("")
	}
	p.s.users++
	p.s.mutex.Unlock()
	defer p.s.leave() // which keeps the memory until then
	return f(unsafe.String(unsafe.SliceData(p.s.page), p.s.n))
}

func (s *secret) leave() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.users--
	if s.wiped && s.users == 0 {
		clear(s.page)
	}
}

// Wipe overwrites the secret, at once or when the last call of Use returns; the PIN and its copies are none from then on.
func (p PIN) Wipe() {
	if p.s == nil {
		return
	}
	p.s.mutex.Lock()
	defer p.s.mutex.Unlock()
	p.s.wiped, p.s.tagged = true, tagged{}
	if p.s.users == 0 {
		clear(p.s.page)
	}
}

// Len is the length in octets, 0 when there is no PIN. It is as secret as the PIN.
func (p PIN) Len() (n int) {
	_ = p.Use(func(secret string) error { n = len(secret); return nil })
	return n
}

// Equal compares two secrets.
func (p PIN) Equal(q PIN) (same bool) {
	_ = p.Use(func(a string) error {
		return q.Use(func(b string) error { same = a == b; return nil })
	})
	return same
}

func (p PIN) String() string               { return redacted }
func (p PIN) GoString() string             { return redacted }
func (p PIN) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redacted) }
func (p PIN) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (p PIN) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// read takes a PIN from what a file or a pipe holds up to its end.
func read(r io.Reader) (PIN, error) {
	page, mapped, _ := memory(MaxLength + 2)
	defer func() {
		clear(page)
		if mapped {
			_ = unix.Munmap(page)
		}
	}()
	buf := page[:MaxLength+2]
	n, err := io.ReadFull(r, buf)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return PIN{}, err
	}
	octets := bytes.TrimSuffix(buf[:n], []byte("\n"))
	if err := check(octets); err != nil {
		return PIN{}, err
	}
	return NewPIN(octets), nil
}

// check tells whether octets can be a PIN at all. What an editor adds and no keyboard gives is refused: it would cost a try.
func check[T string | []byte](octets T) error {
	switch n := len(octets); {
	case n == 0:
		return errors.New("the PIN is empty")
	case n > MaxLength:
		return fmt.Errorf("the PIN is longer than %d octets", MaxLength)
	case n >= 3 && octets[0] == 0xef && octets[1] == 0xbb && octets[2] == 0xbf:
		return errors.New("the PIN begins with a byte order mark; save it without one")
	}
	for i := range len(octets) {
		switch octets[i] {
		case 0:
			return errors.New("the PIN contains a NUL")
		case '\r', '\n':
			return errors.New("the PIN contains a line break; one line is wanted, with a newline or nothing after it")
		}
	}
	return nil
}
