// Package wal is an append-only log of Raft entries in segment files: one write
// and one fdatasync make a batch durable, whatever its size.
//
//	wal/0000000000000007.wal   sealed: full, only read
//	wal/0000000000000008.wal   the tail: written at its end
//	wal/spare                  allocated beforehand, the next tail
//	wal/begun                  the next tail, while its header is written
//
// A segment is a header and frames. A frame holds a batch of entries, or what
// was deleted: the log is what its frames say in their order, so a deletion is
// as atomic as an append, and files that nothing needs any more are reused.
//
//	segment  magic 8 · store id 16 · number 8 · first 8 · next 8 · size 8 · salt 4 · crc 4
//	frame    length 4 · kind 4 · tag 4 · crc 4 · payload, padded to 8 bytes
//	batch    first index 8 · count 4 · count × entry
//	entry    term 8 · appended at 8 · data length 4 · extensions length 4 · type 1 · extensions · data
//
// All numbers are little-endian. The tag is the segment's random salt combined
// with the frame's place: what a reused file held before is never taken for a
// frame. Zeros are written some way ahead of small ones (segment.fillAhead).
//
// # A torn write and a rotten disk
//
// A frame that does not check ends the log only where a crash can have torn it:
// in the last segment, with no sound frame behind it. Anywhere else it is damage
// (a seal ends each segment that another follows, so that its loss shows, too),
// and the log does not open, because dropping what was acknowledged would break
// Raft's promises. A torn write and damage to the very last frame look the same;
// so a mark, an empty frame, follows the last batch when the log is closed or has
// been quiet (see Log.Mark). hashicorp/raft-wal ends its log at the first frame
// header that reads zero and drops a last batch that does not check; see
// docs/adr/0007-wal.md.
package wal
