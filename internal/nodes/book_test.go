package nodes

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/epov-signer/epov/api/client"
	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/reliability/runs"
)

// noted names the file to which each step adds what came of it, for internal/reliability; without it nothing is.
const noted = "EPOV_RELIABILITY"

// book is what callers met during a step. No call may fail, so one that does counts as lost.
type book struct {
	mutex     sync.Mutex
	run       runs.Run
	slowest   time.Duration
	documents [][]byte
}

func (b *book) note(begun time.Time, document []byte, err error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.run.Asked++
	b.slowest = max(b.slowest, time.Since(begun))
	if err != nil {
		b.run.Lost++
		return
	}
	b.run.Signed++
	b.documents = append(b.documents, document)
}

func (b *book) figure(what, format string, args ...any) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.run.Figures = append(b.run.Figures, runs.Figure{What: what, Value: fmt.Sprintf(format, args...)})
}

// serves notes how long a node takes that start starts.
func (b *book) serves(fault string, start func()) {
	begun := time.Now()
	start()
	took := time.Since(begun)
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for i := range b.run.Recoveries {
		if r := &b.run.Recoveries[i]; r.Fault == fault {
			r.Took = append(r.Took, took)
			return
		}
	}
	b.run.Recoveries = append(b.run.Recoveries, runs.Recovery{Fault: fault, Took: []time.Duration{took}})
}

// step runs a part of the exercise, has a node verify every document that callers got in it, and notes what came of it.
func (w *trio) step(t *testing.T, name string, part func(*testing.T)) {
	t.Run(name, func(t *testing.T) {
		b := &book{run: runs.Run{
			Name: name, Where: w.where, Command: "go test -run TestThreeNodes -count=1 ./internal/nodes",
			About: fmt.Sprintf("Three daemons with a token each, behind the client's balancing; a signature takes a token %d ms,\n"+
				"and it makes %d at once.", tokenTime.Milliseconds(), sessions),
			Until: "the start of a node's new process and its word that it serves",
		}}
		w.book = b
		begun := time.Now()
		t.Cleanup(func() { // a step that is given up counts as well
			b.run.Took = time.Since(begun)
			if t.Failed() {
				b.run.Broken = []string{"the test failed"}
			}
			if file := os.Getenv(noted); file != "" {
				if err := runs.Append(file, b.run); err != nil {
					t.Error(err)
				}
			}
		})
		part(t)
		b.figure("slowest answer that a caller waited for", "%v", b.slowest.Round(time.Millisecond))
		w.verify(t, b)
	})
}

// verify has the nodes in turns verify documents that any of them signed.
func (w *trio) verify(t *testing.T, b *book) {
	t.Helper()
	c := w.dial(t, client.RoundRobin, w.addresses()...)
	for i, document := range b.documents {
		if answer, err := c.VerifyXML(t.Context(), &pb.VerifyXmlRequest{Document: document}); err != nil {
			if answer != nil { // it was examined
				b.run.Wrong++
			}
			t.Errorf("document %d: %v, %v", i, answer.GetVerdict(), err)
		}
	}
	b.figure("documents verified afterwards, by the nodes in turns", "%d", len(b.documents))
}
