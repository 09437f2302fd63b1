// Package tlog keeps an audit log in a directory: a Merkle tree in the layout of c2sp.org/tlog-tiles, written by Tessera's
// POSIX driver, with a journal of its own in front.
//
// Why a journal: the driver's promise holds, but it is dear and it is brittle. When the future of its Add resolves, the
// entry is in a bundle, in the tiles and in .state/treeState, each written to a new file with O_SYNC, renamed into place, and
// its directory synced: at least six waits for the disk in a row, after up to the batch's age. When a batch fails half-way
// the next one may hold other entries. And where the directory cannot be written it panics. So a record becomes durable in the
// journal, with one write and one fdatasync for all that wait, which fixes its place in the log for good; the tree takes the
// records from there, in that order, as often as it needs to. A signature is released when its record is in the journal.
//
// What durable records cost is processor time more than waiting: others are signed for meanwhile. So records that come fast share
// groups (pace), the disk is waited for without a thread (flusher), and the segments are written once, beside
// the one at work, before they are used.
//
//	DIR/lock             who writes holds a lock on it
//	DIR/journal/         records that may not be in the tree yet
//	DIR/checkpoint       the newest signed checkpoint
//	DIR/tile/            the tree and, in tile/entries, the records
//	DIR/.state/          Tessera's own
//	DIR/log.pub          verifier key, for convenience: trust it only where you know it from elsewhere
//	DIR/checkpoint.key   Ed25519 key, only where no key on a token signs the checkpoints
package tlog
