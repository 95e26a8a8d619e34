// Package events keeps what happened: the events of committed entries, in order, in
// memory and in segment files. It knows nothing of Raft. Its bytes for an entry are a
// function of the entry's events alone: they are the same on every master.
//
//	Append ─► chunk ─► chunk ─► chunk being filled      in memory: the newest 64 Ki events
//	             │        │
//	             └────────┴──► segment ─► segment       on disk: 256 MiB
//	                              ▲
//	Reader ───────────────────────┘ or from memory, at its own pace
//
// The ring is a cache of what the log decided, not a store. It is written without
// fsync, by a goroutine that Append never waits for. What a crash takes from the
// segments, the log brings again, from the snapshot on: Append passes over what the
// ring has. Where that cannot close a gap (the table came from another master, the
// disk failed, a file is damaged), the ring forgets everything before it. A reader
// hears that as a CompactedError with the oldest entry there is: never a gap.
//
// A reader has no buffer: it fetches when it is ready for more, first from segments,
// then from memory. One that is too slow finds its place compacted; nobody waits for it.
//
//	event.go cursor.go   what an event says, a place between two
//	encode.go decode.go  a record: the events of one entry
//	filter.go            which events somebody wants
//	ring.go chunk.go     the ring, its memory
//	disk.go segment.go   the goroutine that writes, the files
//	load.go              what is there at the start
//	reader.go stream.go  reading on, from wherever that is
package events
