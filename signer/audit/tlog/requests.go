package tlog

import (
	"context"
	"sync"

	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/report"
)

const (
	maxRequests  = 16384 // request ids that are remembered
	loadRequests = 4096  // of the newest records, at the start
)

// requests knows the newest records by caller and request id. The zero value is ready.
type requests struct {
	mu    sync.Mutex
	index map[request]uint64
	order []request // a ring, once it is full
	at    int
}

type request struct{ caller, id string }

func (q *requests) note(caller, id string, index uint64) {
	if id == "" {
		return
	}
	key := request{caller, id}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.index == nil {
		q.index = map[request]uint64{}
	}
	if _, known := q.index[key]; !known {
		if len(q.order) < maxRequests {
			q.order = append(q.order, key)
		} else {
			delete(q.index, q.order[q.at])
			q.order[q.at] = key
			q.at = (q.at + 1) % maxRequests
		}
	}
	q.index[key] = index
}

// load learns the requests of the newest records. What cannot be read is not known: epov audit verify says why.
func (q *requests) load(l *Log, journal [][]byte) {
	from := l.tree - min(l.tree, loadRequests)
	for index := from; index < l.tree; {
		records, err := readBundle(context.Background(), l.reader, index, l.tree)
		if err != nil {
			l.log.Warn("the newest records of the audit log cannot be read", "error", err)
			break
		}
		for i, data := range records {
			q.learn(data, index+uint64(i))
		}
		index += uint64(len(records))
	}
	for i, data := range journal {
		q.learn(data, l.tree+uint64(i))
	}
}

func (q *requests) learn(data []byte, index uint64) {
	if r, err := audit.Parse(data); err == nil && r.Kind == audit.Signature {
		q.note(r.Caller, r.Request, index)
	}
}

// Find is the record of a caller's request, if it is among the newest. The error is a *report.Error.
func (l *Log) Find(caller, id string) (uint64, error) {
	l.requests.mu.Lock()
	defer l.requests.mu.Unlock()
	index, ok := l.requests.index[request{caller, id}]
	if !ok {
		return 0, report.Errorf(report.RecordUnknown, report.Place{Path: "request_id"},
			"no such request among the newest %d; epov audit search finds older ones", maxRequests)
	}
	return index, nil
}
