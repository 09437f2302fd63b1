package tlog

import "context"

// Read gives records that are in the tree from an index on, as many as lie together, in their canonical form. It waits until
// there are any, as long as ctx lasts or the log is open.
func (l *Log) Read(ctx context.Context, from uint64) ([][]byte, error) {
	for {
		l.mu.Lock()
		size, grows := l.tree, l.grows
		l.mu.Unlock()
		if from < size {
			return readBundle(ctx, l.reader, from, size)
		}
		select {
		case <-grows:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.stop:
			return nil, unavailable("the audit log is closed", nil, 0)
		}
	}
}
