// Package audit is what the audit log says and how anyone can check it: the [Record] of one act in its canonical form, the
// [Checkpoint] that a key of the log signs over all records so far, and the [Receipt] that proves one record to be among
// them. Nothing here needs the log itself: a receipt is checked with the log's [Key] and nothing else.
//
// The tree is that of RFC 6962 section 2.1 (SHA-256) in the form of c2sp.org/tlog-tiles; checkpoints are those of
// c2sp.org/tlog-checkpoint, signed as c2sp.org/signed-note says. Package tlog keeps a log in a directory.
package audit
