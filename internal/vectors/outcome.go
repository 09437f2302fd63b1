package vectors

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Outcome notes that a test has held one vector of a family against the code, for `make conformance`: what the vectors'
// index expects ("valid", "invalid", "policy"...) and what the code does about it. It counts once the test has passed, and
// once however many implementations or modes the test tries. Without EPOV_CONFORMANCE, the file to which it is noted, it does
// nothing.
func Outcome(tb testing.TB, family, id, expect, got string) {
	tb.Helper()
	name := os.Getenv("EPOV_CONFORMANCE")
	if name == "" {
		return
	}
	for _, s := range []string{family, id, expect, got} {
		if s == "" || strings.ContainsAny(s, "\t\n") {
			tb.Fatalf("outcome %q of %q in %q: cannot be noted", got, id, family)
		}
	}
	tb.Cleanup(func() {
		if tb.Failed() || tb.Skipped() {
			return
		}
		// One write, so that packages tested at the same time do not mix their lines.
		f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := fmt.Fprintf(f, "%s\t%s\t%s\t%s\n", family, id, expect, got); err != nil {
			tb.Fatal(err)
		}
		if err := f.Close(); err != nil {
			tb.Fatal(err)
		}
	})
}

// Verdict is the outcome of something that is accepted or refused.
func Verdict(accepted bool) string {
	if accepted {
		return "valid"
	}
	return "invalid"
}
