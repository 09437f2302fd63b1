package gost

import (
	"bytes"
	"testing"
)

func TestSums(t *testing.T) {
	messages := make([][]byte, 7)
	for i := range messages {
		messages[i] = bytes.Repeat([]byte{byte(i)}, 300*i)
	}
	for _, d := range Digests {
		for n := range messages {
			sums := d.Sums(messages[:n]...)
			if len(sums) != n {
				t.Fatalf("%s: %d digests of %d messages", d.Name, len(sums), n)
			}
			for i, sum := range sums {
				h := d.New()
				h.Write(messages[i])
				if !bytes.Equal(sum, h.Sum(nil)) {
					t.Errorf("%s: message %d of %d has the digest %x", d.Name, i, n, sum)
				}
			}
		}
	}
}
