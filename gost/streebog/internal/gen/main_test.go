package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestCurrent(t *testing.T) {
	for name, generate := range files {
		committed, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(committed, generate()) {
			t.Errorf("%s is not current: run go generate ./gost/...", name)
		}
	}
}
