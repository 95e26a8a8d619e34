// Package logstore keeps Raft's log, term and vote on disk and never lies about
// them. Term and vote are in raft-boltdb, the entries in package wal or, as an
// option, in raft-boltdb too (docs/adr/0007-wal.md). The wrapper adds what these
// lack:
//
//   - a CRC32C per entry, taken where the entry is first stored (the leader),
//     carried with it in Log.Extensions, and checked before every store and after
//     every load on every master; a CRC32C per stable value
//   - at open, before bbolt touches its file: the pages are walked; every entry
//     is checked, and the indexes must be contiguous
//   - the vote's term and candidate in one transaction (hashicorp/raft#661)
//   - the index of the newest whole snapshot, below which a start is refused
//   - crash-safe creation of the file, offline compaction when it is mostly free
//   - a cache and a tail bounded by bytes, prefix deletion in small transactions
//   - fail-stop: see below
//
// # Fail-stop
//
// Raft handles errors of its stores badly: it retries them, panics, or flaps
// between follower and leader. So Raft never sees one. A write that takes longer
// than WriteDeadline calls OnHang (the node isolates itself); if it returns
// before HangLimit, OnResume is called and Raft gets its answer late, as after a
// pause of the process. A write that takes longer than that, any failed write
// and any damaged read call OnFatal once; the call itself, and every later one,
// then blocks until Close. Nothing is ever written again: a failed fsync must
// not be retried, its pages may be gone.
//
//	call ──> backend ──ok──────────────────────────────> answer to Raft
//	            │  2 s          30 s
//	            ├── OnHang ──┬─ returned ── OnResume ──> answer to Raft
//	            │            └─ OnFatal ── blocked until Close
//	            └── error, panic, damaged bytes ── OnFatal ── blocked until Close
package logstore
