package revocation

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/trust"
)

// maxFolder bounds the CRLs of one folder.
const maxFolder = 4096

// file is a CRL in a file, and how the file looked when it was read.
type file struct {
	list     trust.List
	size     int64
	modified time.Time
}

// readFile reads a CRL unless it has not changed since. What was read before stays when the file cannot be read.
func (l *Library) readFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	l.mutex.RLock()
	old, known := l.files[path]
	l.mutex.RUnlock()
	if known && old.size == info.Size() && old.modified.Equal(info.ModTime()) {
		return nil
	}
	data, err := readBounded(path)
	if err != nil {
		return err
	}
	list, err := gost.ParseRevocationList(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.files[path] = file{trust.List{RevocationList: list, Source: path}, info.Size(), info.ModTime()}
	return nil
}

// readBounded reads a regular file; opening does not wait, as it would for a pipe.
func readBounded(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New(path + " is not a regular file")
	case info.Size() > gost.MaxRevocationList:
		return nil, errors.New(path + " is too large")
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// readFolder reads the CRLs of a folder and forgets those that are gone from it.
func (l *Library) readFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, e := range entries {
		ext := strings.ToLower(filepath.Ext(e.Name()))
		if e.IsDir() || !slices.Contains([]string{".crl", ".der", ".pem"}, ext) {
			continue
		}
		if len(there) == maxFolder {
			l.log.Warn("a folder has too many CRLs; the others are passed over", "folder", dir, "limit", maxFolder)
			break
		}
		path := filepath.Join(dir, e.Name())
		there[path] = true
		if err := l.readFile(path); err != nil {
			l.log.Warn("a CRL cannot be read", "file", path, "error", err)
		}
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for path := range l.files {
		if filepath.Dir(path) == filepath.Clean(dir) && !there[path] && !slices.Contains(l.config.Files, path) {
			delete(l.files, path)
		}
	}
	return nil
}

// rescan looks at files and folders again.
func (l *Library) rescan() {
	for _, name := range l.config.Files {
		if err := l.readFile(name); err != nil {
			l.log.Warn("a CRL cannot be read; the one read before is kept", "file", name, "error", err)
		}
	}
	for _, name := range l.config.Folders {
		if err := l.readFolder(name); err != nil {
			l.log.Warn("a folder of CRLs cannot be read", "folder", name, "error", err)
		}
	}
	l.mutex.Lock()
	l.index()
	l.mutex.Unlock()
}
