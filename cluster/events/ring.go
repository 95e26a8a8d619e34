package events

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
)

// Config says how much a ring keeps, and where.
type Config struct {
	// Dir is where the segment files are; nobody else uses it. Empty: memory only.
	Dir string
	// Owner ties the files to a master of a cluster: those of another are forgotten.
	Owner string
	// MemoryEvents are kept in memory, and what is not written yet, as long as it is
	// within MemoryBytes.
	MemoryEvents, MemoryBytes int
	// DiskBytes bounds all segments together, SegmentBytes each.
	DiskBytes, SegmentBytes int64
	Logger                  *slog.Logger

	files files // nil: the operating system's
}

// DefaultConfig returns 64 Ki events, at most 32 MiB, in memory and 256 MiB of segments.
func DefaultConfig() Config {
	return Config{
		MemoryEvents: 64 << 10, MemoryBytes: 32 << 20, DiskBytes: 256 << 20, SegmentBytes: 16 << 20,
		Logger: slog.Default(),
	}
}

// ErrClosed is for who waits while the ring is closed.
var ErrClosed = errors.New("the ring of events is closed")

// CompactedError says that the events behind a place are not kept any more.
type CompactedError struct {
	Oldest uint64 // entry from which on all are
}

func (e *CompactedError) Error() string {
	return fmt.Sprintf("compacted: the oldest entry whose events are kept is %d", e.Oldest)
}

// Ring keeps the newest events. One goroutine appends, any number read.
type Ring struct {
	cfg     Config
	disk    disk
	streams atomic.Int64
	refused atomic.Uint64 // with a CompactedError

	mu       sync.Mutex
	chunks   []*chunk // oldest first, never empty; the last one is being filled
	events   int      // in chunks
	bytes    int
	appended uint64        // events
	last     uint64        // all entries up to it are known
	grown    chan struct{} // closed when last has moved; nil: nobody waits
	closed   bool
}

// Open returns a ring with what its segments hold. It does not fail: where the disk
// does, the ring has only its memory, and says so in the log.
func Open(cfg Config) *Ring {
	if cfg.files == nil {
		cfg.files = osFiles{}
	}
	r := &Ring{cfg: cfg}
	r.disk.init(r)
	if cfg.Dir != "" && cfg.DiskBytes > 0 {
		r.last = r.disk.load()
	}
	r.chunks = []*chunk{newChunk(r.last)}
	r.disk.start()
	return r
}

// Close writes what is not on disk yet and ends the goroutine, and who reads. A disk
// that hangs is left behind.
func (r *Ring) Close() {
	r.mu.Lock()
	again := r.closed
	r.closed = true
	r.wake()
	r.mu.Unlock()
	if !again {
		r.disk.stop()
	}
}

// Knows reports whether the ring has what Append would bring for an entry.
func (r *Ring) Knows(index uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return index <= r.last
}

// Append adds the record of an entry, which it copies. The entries between the last
// one and this had no events. Entries that the ring knows already change nothing.
func (r *Ring) Append(index uint64, record []byte, events int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if index <= r.last {
		return
	}
	c := r.chunks[len(r.chunks)-1]
	before := len(c.data)
	c.add(index, record, events)
	r.last = index
	r.events += events
	r.bytes += len(c.data) - before
	r.appended += uint64(events)
	r.disk.grew(len(c.data) - before)
	if len(c.data) >= chunkBytes {
		r.chunks = append(r.chunks, newChunk(index))
		r.evict()
	}
}

// Reached says that the entry had no events.
func (r *Ring) Reached(index uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if index > r.last {
		r.last = index
		r.chunks[len(r.chunks)-1].to = index
	}
}

// Publish wakes who waits for what was appended.
func (r *Ring) Publish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wake()
}

// wake is Publish with mu held.
func (r *Ring) wake() {
	if r.grown != nil {
		close(r.grown)
		r.grown = nil
	}
}

// Jump says that the table was replaced by one as it is behind an entry. Unless the
// ring knows that entry, it forgets everything: what led there it was not told.
func (r *Ring) Jump(index uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if index <= r.last {
		return
	}
	r.last = index
	r.chunks, r.events, r.bytes = []*chunk{newChunk(index)}, 0, 0
	r.disk.forget()
	r.wake()
}

// evict keeps the bounds of what is in memory. What is not on disk yet may be more
// events than are asked for: a disk that stalls for a moment costs no segments.
func (r *Ring) evict() {
	n := 0
	for ; n < len(r.chunks)-1; n++ {
		c := r.chunks[n]
		spare := r.events-c.events >= r.cfg.MemoryEvents && (!r.disk.on() || c.to <= r.disk.written)
		if r.bytes <= r.cfg.MemoryBytes && !spare {
			break
		}
		r.events -= c.events
		r.bytes -= len(c.data)
	}
	if n == 0 {
		return
	}
	gone := r.chunks[n-1].to
	r.chunks = slices.Delete(r.chunks, 0, n)
	if r.disk.on() && r.disk.written < gone {
		r.disk.forget() // it is too slow: a gap would follow
	}
}

// Range returns the oldest entry whose events are kept, and the newest that is known.
func (r *Ring) Range() (oldest, last uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.oldest(), r.last
}

// oldest is with mu held.
func (r *Ring) oldest() uint64 {
	if s := r.disk.segments; len(s) > 0 {
		return s[0].from
	}
	return r.chunks[0].from
}

// chunkOf returns the chunk that covers an entry which memory has; with mu held.
func (r *Ring) chunkOf(index uint64) *chunk {
	return r.chunks[sort.Search(len(r.chunks)-1, func(i int) bool { return r.chunks[i].to >= index })]
}

// wait returns a channel that is closed when there is more; with mu held.
func (r *Ring) wait() <-chan struct{} {
	if r.grown == nil {
		r.grown = make(chan struct{})
	}
	return r.grown
}

// Stats are a ring's figures.
type Stats struct {
	Oldest, Last   uint64 // entries
	Appended       uint64 // events, since the start
	MemoryEvents   int
	MemoryBytes    int
	Segments       int
	SegmentBytes   int64
	SegmentsFailed uint64 // times that the segments were given up: errors, damage, a slow disk, another table
	Streams        int64
	Compacted      uint64 // readers that came too late
}

// Stats returns the ring's figures.
func (r *Ring) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Stats{
		Oldest: r.oldest(), Last: r.last, Appended: r.appended, MemoryEvents: r.events, MemoryBytes: r.bytes,
		Segments: len(r.disk.segments), SegmentsFailed: r.disk.failed,
		Streams: r.streams.Load(), Compacted: r.refused.Load(),
	}
	for _, g := range r.disk.segments {
		s.SegmentBytes += g.size
	}
	return s
}
