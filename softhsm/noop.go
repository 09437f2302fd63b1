package softhsm

import (
	"fmt"
	"hash/fnv"
	"path/filepath"
	"testing"

	"github.com/epov-signer/epov/internal/oracle"
)

// NoopKey is the id of the one key on a token of NewNoop, GOST R 34.10-2012 of 256 bits on the curve of CryptoPro-A.
const NoopKey = "NOOP01/ov/1"

// NewNoop makes a token that takes next to no time: C_SignInit and C_Sign are an addition, and yet the signatures verify.
// With it the cost of everything around a token is measured; its key is known to all. Each call gives a token of its own, all
// with the same key. It can be used in several processes at once, each of which has its own sessions and login. Where the
// module has not been built the test skips or fails as [New] says.
func NewNoop(tb testing.TB) *Token {
	tb.Helper()
	module := Noop()
	if module == "" {
		oracle.Missing(tb, "the module that takes no time")
	}
	dir, err := filepath.EvalSymlinks(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(dir, "noop.so")
	if err := copyFile(module, path); err != nil {
		tb.Fatal(err)
	}
	hash := fnv.New64a()
	hash.Write([]byte(path))
	return &Token{Module: path, Label: "noop", Serial: fmt.Sprintf("%016x", hash.Sum64()), PIN: "12345678"}
}

// Noop is the path of the module that NewNoop copies, found as Shim's is; its serial number depends on its path.
func Noop() string { return ours("noop.so") }
