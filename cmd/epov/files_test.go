package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// Input comes through as it is, and a reader that waits for more gives up when it is told to.
func TestInterruptible(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	data := bytes.Repeat([]byte("0123456789"), 20_000)
	if err := iotest.TestReader(&interruptible{ctx: ctx, from: bytes.NewReader(data)}, data); err != nil {
		t.Error(err)
	}
	silent, w := io.Pipe()
	defer w.Close()
	r := &interruptible{ctx: ctx, from: silent}
	ended := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(r)
		ended <- err
	}()
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("read once more: %v", err)
	}
}
