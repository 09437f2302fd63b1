package tlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/signer/audit"
)

// Refusals says which refusals are recorded.
type Refusals int

const (
	Limited Refusals = iota // each caller's up to a rate; what was left out is counted in a later record
	All
	None
)

// Config is what a log is made of. The zero value of a field means its default.
type Config struct {
	Dir string // made when it is not there
	// Origin is the name of the log, see audit.ValidOrigin. It must be different for each log, and stay.
	Origin string
	// Signer signs the checkpoints by the name of Origin; nil: an Ed25519 key in the directory, made at the first start.
	Signer note.Signer
	// Interval is the time between two checkpoints while records arrive, default a second, at least 100 ms.
	Interval time.Duration
	// ReleaseFirst has records of signatures wait for nothing: what was not durable is lost when the machine fails.
	ReleaseFirst bool
	Refusals     Refusals
	Logger       *slog.Logger // nil: slog.Default()

	create func(name string, size int64) (file, error) // of the journal; nil: create
}

const (
	defaultInterval = time.Second
	minInterval     = 100 * time.Millisecond // of Tessera's POSIX driver

	maxQueueBytes   = 8 << 20  // records that wait for the journal
	maxBacklogBytes = 64 << 20 // records in the journal that wait for the tree
	stalledAfter    = 2 * time.Second
)

// Log is an open log, the only one that writes to its directory. Safe for concurrent use.
type Log struct {
	cfg       Config
	log       *slog.Logger
	lock      *os.File
	journal   *journal
	flusher   *flusher
	reader    files
	sizer     tessera.LogReader
	appender  *tessera.Appender
	shutdown  func(context.Context) error
	cancel    context.CancelFunc // of Tessera
	key       string             // verifier key of checkpoints
	refusals  refusals
	requests  requests
	published atomic.Pointer[published]
	signed    chan string // text of a checkpoint that has been signed; room for one
	broken    atomic.Bool // the tree is not what was promised

	mu        sync.Mutex
	queue     []*batch // for the journal, the last one is still open
	queued    int      // octets of it
	room      []byte   // of a batch that has been written, for the next one
	next      uint64   // index of the record that comes next into the journal
	backlog   [][]byte // records in the journal, not known to be in the tree
	backBytes int
	tree      uint64        // records in the tree
	grows     chan struct{} // closed when that changes
	down      error         // why the journal took nothing the last time; nil: it did
	writing   time.Time     // since when the journal is at work on one group; zero: it is not
	closed    bool

	write, integrate chan struct{} // there is something to do; room for one each
	wanted           chan struct{} // a receipt is waited for; room for one
	stop             chan struct{} // closed when the log is
	written          chan struct{} // closed when nothing more comes into the journal
	finished         sync.WaitGroup
}

// Open opens the log of a directory or begins one. It refuses a directory that another process writes to, that holds another
// log, or whose journal has been damaged. Records that a crash left in the journal go into the tree.
func Open(ctx context.Context, c Config) (_ *Log, err error) {
	if !audit.ValidOrigin(c.Origin) {
		return nil, fmt.Errorf("audit log: %q cannot be the name of a log", c.Origin)
	}
	if c.Interval == 0 {
		c.Interval = defaultInterval
	}
	if c.Interval < minInterval {
		return nil, fmt.Errorf("audit log: the interval between checkpoints is shorter than %v", minInterval)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	var flusher *flusher
	if c.create == nil {
		flusher = newFlusher()
		c.create = flusher.create
	}
	dir := filepath.Join(c.Dir, "journal")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	l := &Log{
		cfg: c, log: c.Logger, flusher: flusher, reader: files{c.Dir}, journal: &journal{dir: dir, create: c.create, log: c.Logger},
		signed: make(chan string, 1), write: make(chan struct{}, 1), integrate: make(chan struct{}, 1),
		wanted: make(chan struct{}, 1), stop: make(chan struct{}),
		written: make(chan struct{}), grows: make(chan struct{}),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.release())
		}
	}()
	if l.lock, err = lock(c.Dir); err != nil {
		return nil, err
	}
	sweep(c.Dir)
	if err := l.sameLog(); err != nil {
		return nil, err
	}
	signer, err := l.signer()
	if err != nil {
		return nil, err
	}
	if err := l.openTree(ctx, signer); err != nil {
		return nil, fmt.Errorf("audit log %s: %w", c.Dir, err)
	}
	records, torn, err := readJournal(dir, l.tree)
	if err != nil {
		return nil, fmt.Errorf("audit log: the journal cannot be trusted: %w", err)
	}
	if torn > 0 {
		l.log.Warn("the audit log's journal ends in a write that was cut short; nothing that waited for it was released", "bytes", torn)
	}
	if records == nil && l.tree > 0 && lacksJournal(dir) {
		l.log.Warn("the audit log's journal has been removed; records that were not in the tree yet are lost", "records", l.tree)
	}
	for _, r := range records {
		l.backlog, l.backBytes = append(l.backlog, r), l.backBytes+len(r)
	}
	l.next = l.tree + uint64(len(records))
	l.requests.load(l, records)
	l.start()
	l.log.Info("audit log", "directory", c.Dir, "log", c.Origin, "records", l.next, "from_journal", len(records))
	return l, nil
}

// lock makes this process the only one that writes to the directory.
func lock(dir string) (*os.File, error) {
	name := filepath.Join(dir, "lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	if err := flock(f); err != nil {
		holder := make([]byte, 32)
		n, _ := f.ReadAt(holder, 0)
		return nil, errors.Join(fmt.Errorf("audit log: %s is written to by another process: %s", dir, process(holder[:n])), f.Close())
	}
	// For people. A full disk does not matter.
	_ = f.Truncate(0)
	_, _ = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return f, nil
}

// sweep removes what writes that a crash or a full disk cut short have left beside the files that are written all the time.
func sweep(dir string) {
	_ = os.Remove(filepath.Join(dir, "journal", spareName)) // it is made anew, and holds nothing
	for _, name := range []string{"checkpoint", filepath.Join(".state", "treeState")} {
		left, _ := filepath.Glob(filepath.Join(dir, name+"[0-9]*")) // the pattern is right
		for _, f := range left {
			_ = os.Remove(f) // it does no harm where it is
		}
	}
}

// ErrOtherLog is why a directory with the log of another name is not opened.
var ErrOtherLog = errors.New("audit log")

// sameLog refuses a directory with the log of another name.
func (l *Log) sameLog() error {
	data, err := l.reader.ReadCheckpoint(context.Background())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	c, err := audit.ReadCheckpoint(data)
	if err != nil {
		return fmt.Errorf("%s: %w", l.cfg.Dir, err)
	}
	if c.Origin != l.cfg.Origin {
		return fmt.Errorf("%w: %s holds the log %q, not %q", ErrOtherLog, l.cfg.Dir, c.Origin, l.cfg.Origin)
	}
	return nil
}

// openTree starts Tessera.
func (l *Log) openTree(ctx context.Context, signer note.Signer) error {
	relayTessera(l.log)
	driver, err := posix.New(ctx, posix.Config{Path: l.cfg.Dir})
	if err != nil {
		return err
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(&telling{signer, l.cfg.Dir, l.signed}).
		WithCheckpointInterval(l.cfg.Interval).
		WithCheckpointRepublishInterval(0).
		WithBatching(maxBurst, burstAge)
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	appender, shutdown, reader, err := tessera.NewAppender(running, driver, options)
	if err != nil {
		// A new log signs its empty tree at once. When that fails the tree is there all the same; it will be signed later.
		l.log.Warn("the audit log's first checkpoint was not signed", "error", err)
		appender, shutdown, reader, err = tessera.NewAppender(running, driver, options)
	}
	if err != nil {
		cancel()
		return err
	}
	l.appender, l.shutdown, l.cancel, l.sizer = appender, shutdown, cancel, reader
	if l.tree, err = reader.IntegratedSize(ctx); err != nil {
		return err
	}
	l.see()
	return nil
}

// start starts what runs beside the callers.
func (l *Log) start() {
	l.journal.beside = l.finished.Go // of writeLoop, which is counted itself meanwhile
	for _, run := range []func(){l.writeLoop, l.treeLoop, l.watch} {
		l.finished.Go(run)
	}
	if len(l.backlog) > 0 {
		wake(l.integrate)
	}
}

// Close makes durable what waits, puts it into the tree as far as ctx allows, and has a last checkpoint signed. Records that
// come later are refused.
func (l *Log) Close(ctx context.Context) error {
	l.refusals.flush(l)
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	close(l.stop)
	done := make(chan struct{})
	go func() { l.finished.Wait(); close(done) }()
	select {
	case <-done:
		if err := l.shutdown(ctx); err != nil {
			l.log.Warn("the audit log's last records are not under a checkpoint yet; they will be after the next start", "error", err)
		}
	case <-ctx.Done():
		l.log.Warn("the audit log's last records are not in the tree yet; they will be after the next start")
		go func() { // until then nobody else may write, and the journal is at work
			<-done
			if err := l.release(); err != nil {
				l.log.Warn("the audit log was not closed in order", "error", err)
			}
		}()
		return nil
	}
	return l.release()
}

func (l *Log) release() error {
	if l.cancel != nil {
		l.cancel()
	}
	err := errors.Join(l.journal.abandon(), l.journal.dropSpare())
	l.flusher.close()
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
	}
	return err
}

// Origin is the name of the log.
func (l *Log) Origin() string { return l.cfg.Origin }

// VerifierKey is the key that checks the log's checkpoints, as audit.ParseKey reads it.
func (l *Log) VerifierKey() string { return l.key }

// Stats is the state of a log at a moment.
type Stats struct {
	Records    uint64 // in the journal and in the tree
	Tree       uint64 // in the tree
	Checkpoint uint64 // under the newest checkpoint
	Waiting    int    // octets of records that wait for the journal
	Down       error  // why no records are taken; nil: they are
}

// Stats tells the state of the log.
func (l *Log) Stats() Stats {
	down := l.Ready()
	p := l.published.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{Records: l.next, Tree: l.tree, Waiting: l.queued, Down: down}
	if p != nil {
		s.Checkpoint = p.Size
	}
	return s
}

func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// process names the holder of a lock by what it wrote there.
func process(holder []byte) string {
	if pid, err := strconv.Atoi(strings.TrimSpace(string(holder))); err == nil && pid > 0 {
		return fmt.Sprintf("process %d", pid)
	}
	return "its number is not known"
}
