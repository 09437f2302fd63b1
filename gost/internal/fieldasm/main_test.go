package main

import (
	"bytes"
	"os"
	"testing"
)

// TestCurrent: the assembly kept in the repository is what this program writes.
func TestCurrent(t *testing.T) {
	kept, err := os.ReadFile("../../arithmetic_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, generate()) {
		t.Error("gost/arithmetic_amd64.s is not current: run go generate ./gost")
	}
}
