package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/cms"
)

// maxInput bounds what is read into memory; the daemon's own limit, 16 MiB by default, is below it.
const maxInput = 512 << 20

// open opens a file, or standard input for "-".
func (con *console) open(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(con.in), nil
	}
	return os.Open(name)
}

// interruptible is input whose end is not waited for when ctx has ended.
type interruptible struct {
	ctx  context.Context
	from io.Reader
	page []byte // read into, so that the caller's memory is left alone after an interrupt
}

func (r *interruptible) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.page == nil {
		r.page = make([]byte, 64<<10)
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	page := r.page[:min(len(p), len(r.page))]
	go func() {
		n, err := r.from.Read(page)
		done <- result{n, err}
	}()
	select {
	case got := <-done:
		return copy(p, page[:got.n]), got.err
	case <-r.ctx.Done():
		r.page = nil // the read that goes on has it
		return 0, r.ctx.Err()
	}
}

// read returns what open gives.
func (con *console) read(name string) ([]byte, error) {
	r, err := con.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, usageError{fmt.Errorf("reading %s: %w", name, err)}
	}
	if len(data) > maxInput {
		return nil, usagef("%s is larger than %d MiB", name, maxInput>>20)
	}
	return data, nil
}

// write puts data into a file, whole or not at all, or writes it to standard output when name is "" or "-".
func (con *console) write(name string, data []byte, binary bool) error {
	return con.writeBy(name, binary, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// writeBy is write of what is too long to be in memory.
func (con *console) writeBy(name string, binary bool, write func(io.Writer) error) error {
	if name == "" || name == "-" {
		if f, ok := con.out.(*os.File); ok && binary && isTerminal(f) {
			return usagef("binary output is not for a terminal: give -o FILE, or --pem")
		}
		return write(con.out)
	}
	return writeFile(name, write)
}

// writeFile replaces a regular file in one step; a device or a pipe is written as it stands.
func writeFile(name string, write func(io.Writer) error) (err error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	part := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+"."+rand.Text()[:8])
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			e.Path = name // the other name means nothing to anybody
		}
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(part)
		}
	}()
	err = errors.Join(write(f), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(part, name)
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// unarmour returns the DER inside PEM of one of the given types, and anything else as it is.
func unarmour(name string, data []byte, types ...string) ([]byte, error) {
	text := bytes.TrimLeft(bytes.TrimPrefix(data, []byte(byteOrderMark)), " \t\r\n")
	if !bytes.HasPrefix(text, []byte("-----BEGIN ")) {
		return data, nil
	}
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, usagef("%s: the PEM is damaged", name)
	}
	for _, t := range types {
		if block.Type == t {
			if len(bytes.TrimSpace(rest)) > 0 {
				return nil, usagef("%s: there is something after the PEM block %q", name, t)
			}
			return block.Bytes, nil
		}
	}
	return nil, usagef("%s: the PEM holds %q, not %q", name, printable(block.Type), types[0])
}

// absolutePath is for files that are named in another file.
func absolutePath(name string) (string, error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", err
	}
	return path, nil
}

// byteOrderMark is what some editors put before UTF-8.
const byteOrderMark = "\ufeff"

// holdsXML tells XML, of any encoding, from CMS, DER, PEM or base64, by how a file begins.
func holdsXML(name string, data []byte) (bool, error) {
	if len(data) == 0 {
		return false, usagef("%s is empty", name)
	}
	for _, utf16 := range []string{"\xff\xfe", "\xfe\xff", "<\x00", "\x00<"} {
		if bytes.HasPrefix(data, []byte(utf16)) {
			return true, nil // its reader says that UTF-16 is not accepted
		}
	}
	head := bytes.TrimLeft(bytes.TrimPrefix(data, []byte(byteOrderMark)), " \t\r\n")
	if bytes.HasPrefix(head, []byte("<")) {
		return true, nil
	}
	if bytes.HasPrefix(head, []byte("\x30")) || bytes.HasPrefix(head, []byte("-----BEGIN ")) {
		return false, nil
	}
	if message, err := cms.Decode(data); err == nil && bytes.HasPrefix(message, []byte("\x30")) {
		return false, nil
	}
	return false, usagef("%s looks neither like XML nor like CMS; say which with `epov verify xml` or `epov verify cms`", name)
}

// certificatesIn reads PEM, DER, or what authorities answer with: PKCS#7 without a signature (.p7b), and base64 without PEM's
// lines around it.
func certificatesIn(name string, data []byte, opts ...gost.KeyOption) ([]*gost.Certificate, error) {
	list, wrong := gost.ParseCertificates(data, opts...)
	if wrong == nil {
		return list, nil
	}
	der, err := cms.Decode(bytes.TrimPrefix(data, []byte(byteOrderMark)))
	if err == nil {
		if list, err := gost.ParseCertificates(der, opts...); err == nil {
			return list, nil
		}
		if bundle, err := cms.Dissect(der, cms.Limits{}, nil); err == nil && len(bundle.Certificates) > 0 {
			return bundle.Certificates, nil
		}
	}
	return nil, usagef("%s: %w", name, wrong)
}

// unwrapCMS returns the BER inside PEM or base64, and anything else as it is.
func unwrapCMS(name string, data []byte) ([]byte, error) {
	data, err := unarmour(name, data, "PKCS7", "CMS")
	if err != nil || bytes.HasPrefix(data, []byte{0x30}) {
		return data, err
	}
	if message, err := cms.Decode(data); err == nil {
		return message, nil
	}
	return data, nil // its reader says what is wrong
}
