// Command gen writes the amd64 assembly of package streebog. Run it with `go generate ./gost/...`; the test beside it
// fails when the committed files differ from what it writes.
package main

import (
	"log"
	"os"
	"path/filepath"
)

// files maps each generated file, relative to the package's directory, to its generator.
var files = map[string]func() []byte{
	"avx512_amd64.s": avx512,
	"table_amd64.s":  table,
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: gen DIRECTORY")
	}
	for name, generate := range files {
		if err := os.WriteFile(filepath.Join(os.Args[1], name), generate(), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
