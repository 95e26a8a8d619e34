package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// small is a configuration in which everything happens soon.
func small(t *testing.T) Config {
	return Config{
		Dir: t.TempDir(), Owner: "c/n1", MemoryEvents: 64, MemoryBytes: 1 << 20, DiskBytes: 1 << 20, SegmentBytes: 128 << 10,
		Logger: slog.New(slog.DiscardHandler),
	}
}

func open(t *testing.T, cfg Config) *Ring {
	t.Helper()
	r := Open(cfg)
	t.Cleanup(r.Close)
	return r
}

// text is what makes an event large.
var text = string(bytes.Repeat([]byte("e"), MaxError))

// entry appends entry index with n events that say which they are.
func entry(r *Ring, index uint64, n int) {
	var enc Encoder
	enc.Begin(index, 1, int64(index))
	for sub := range n {
		*enc.Next() = Event{Type: Created, Task: index*1000 + uint64(sub), Queue: "q", Error: text[:index%MaxError]}
		enc.Add()
	}
	record, events := enc.Record()
	r.Append(index, record, events)
	r.Publish()
}

// fill appends entries, every third of which has no events.
func fill(r *Ring, from, to uint64) {
	for i := from; i <= to; i++ {
		if i%3 == 0 {
			r.Reached(i)
		} else {
			entry(r, i, int(i%5)+1)
		}
	}
}

// follow reads from a place up to the end of entry to, checks that nothing is missing
// or said twice, and returns how many events it saw.
func follow(t *testing.T, r *Ring, from Cursor, to uint64) (int, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := r.Stream(from, Filter{})
	defer s.Close()
	at, sub, n := from.Index, from.Sub, 0
	for s.Cursor().Index <= to {
		if err := s.More(ctx); err != nil {
			return n, err
		}
		for {
			e, err := s.Event()
			if err != nil {
				t.Fatal(err)
			}
			if e == nil {
				break
			}
			for at != e.Index || sub == uint32(at%5)+1 {
				if at%3 != 0 && sub != uint32(at%5)+1 || at > e.Index {
					t.Fatalf("event %s after %d.%d", e.Cursor(), at, sub)
				}
				at, sub = at+1, 0
			}
			if sub++; e.Sub != sub || e.Task != at*1000+uint64(sub)-1 || e.Now != int64(at) || e.Error != text[:at%MaxError] {
				t.Fatalf("event %s is %+v, want %d.%d", e.Cursor(), e, at, sub)
			}
			n++
		}
	}
	return n, nil
}

func mustFollow(t *testing.T, r *Ring, from Cursor, to uint64) {
	t.Helper()
	if n, err := follow(t, r, from, to); err != nil || n == 0 {
		t.Fatalf("from %s to %d: %d events, %v", from, to, n, err)
	}
}

// compacted wants a CompactedError and returns the oldest entry.
func compacted(t *testing.T, r *Ring, from uint64) uint64 {
	t.Helper()
	_, err := follow(t, r, Cursor{Index: from}, from)
	gone, ok := errors.AsType[*CompactedError](err)
	if !ok {
		t.Fatalf("from %d: %v, want it compacted", from, err)
	}
	if oldest, _ := r.Range(); gone.Oldest < from || gone.Oldest > oldest {
		t.Fatalf("from %d: compacted up to %d, the ring begins at %d", from, gone.Oldest, oldest)
	}
	return gone.Oldest
}

func TestMemoryAndSegmentsAreOne(t *testing.T) {
	r := open(t, small(t))
	const last = 4000
	fill(r, 1, last)
	r.Flush()
	st := r.Stats()
	if st.Oldest != 1 || st.Last != last || st.Segments < 2 || st.MemoryEvents > 8000 || st.MemoryEvents < 64 {
		t.Fatalf("the ring is %+v", st)
	}
	mustFollow(t, r, Cursor{}, last)
	mustFollow(t, r, Cursor{Index: 1001, Sub: 2}, last)
	mustFollow(t, r, Cursor{Index: last - 3}, last)
}

// TestBounds: what is beyond them is compacted, and said to be.
func TestBounds(t *testing.T) {
	cfg := small(t)
	cfg.DiskBytes = 256 << 10
	r := open(t, cfg)
	const last = 8000
	for i := uint64(1); i <= last; i += 100 {
		fill(r, i, i+99)
		r.Flush()
	}
	st := r.Stats()
	if most := cfg.DiskBytes + cfg.SegmentBytes + 2*chunkBytes; st.SegmentBytes > most || st.SegmentBytes < cfg.DiskBytes/2 {
		t.Errorf("segments have %d bytes, at most %d may", st.SegmentBytes, most)
	}
	files, sum := 0, int64(0)
	list, _ := os.ReadDir(cfg.Dir)
	for _, f := range list {
		info, _ := f.Info()
		files, sum = files+1, sum+info.Size()
	}
	if sum != st.SegmentBytes || files != st.Segments {
		t.Errorf("%d files with %d bytes, the ring says %+v", files, sum, st)
	}
	oldest := compacted(t, r, 1)
	if oldest != st.Oldest || oldest < 2 {
		t.Errorf("compacted up to %d: %+v", oldest, st)
	}
	mustFollow(t, r, Cursor{Index: oldest}, last)
	if got := r.Stats(); got.Compacted != 1 || got.SegmentsFailed != 0 {
		t.Errorf("counted %+v", got)
	}
}

// TestAllThereIs: who wants the oldest events gets those that are the oldest when it
// reads.
func TestAllThereIs(t *testing.T) {
	cfg := small(t)
	cfg.Dir = ""
	r := open(t, cfg)
	fill(r, 1, 10)
	s := r.StreamAll(Filter{})
	defer s.Close()
	fill(r, 11, 4000)
	if err := s.More(t.Context()); err != nil {
		t.Fatal(err)
	}
	e, err := s.Event()
	if oldest, _ := r.Range(); err != nil || e.Index < oldest || e.Index > oldest+1 || oldest == 1 {
		t.Errorf("begins with %v, %v; the oldest entry is %d", e, err, oldest)
	}
}

func TestMemoryOnly(t *testing.T) {
	cfg := small(t)
	cfg.Dir = ""
	r := open(t, cfg)
	fill(r, 1, 4000)
	r.Flush()
	oldest := compacted(t, r, 1)
	mustFollow(t, r, Cursor{Index: oldest}, 4000)
	r.Close()
	if _, err := follow(t, r, Cursor{Index: 4001}, 4001); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed ring: %v", err)
	}
}

// bytesOf returns the records of all entries up to to, as they are kept.
func bytesOf(t *testing.T, r *Ring, to uint64) []byte {
	t.Helper()
	var all []byte
	x := reader{ring: r, next: 1}
	defer x.closeFile()
	for x.next <= to {
		p, err := x.read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p.records...)
	}
	return all
}

// TestRestart: what the log brings again is not kept twice, and what a crash took
// comes back from it.
func TestRestart(t *testing.T) {
	cfg := small(t)
	whole := open(t, small(t))
	fill(whole, 1, 3000)
	want := bytesOf(t, whole, 3000)
	for replayFrom := range map[uint64]bool{1: true, 900: true, 1001: true} {
		cfg.Dir = filepath.Join(t.TempDir(), "events")
		r := open(t, cfg)
		fill(r, 1, 1000)
		r.Close()
		r = open(t, cfg)
		if oldest, last := r.Range(); oldest != 1 || last != 1000 || !r.Knows(1000) || r.Knows(1001) {
			t.Fatalf("opened with %d to %d", oldest, last)
		}
		r.Jump(replayFrom - 1) // the snapshot from which the log goes on
		fill(r, replayFrom, 3000)
		mustFollow(t, r, Cursor{}, 3000)
		if got := bytesOf(t, r, 3000); !bytes.Equal(got, want) {
			t.Errorf("replayed from %d, the ring has other bytes", replayFrom)
		}
		r.Close()
	}
}

// TestJump: a table from elsewhere compacts everything before it, on disk, too.
func TestJump(t *testing.T) {
	cfg := small(t)
	r := open(t, cfg)
	fill(r, 1, 1000)
	r.Flush()
	waits := make(chan error, 1)
	go func() { _, err := follow(t, r, Cursor{Index: 1001}, 1001); waits <- err }()
	r.Jump(2000) // it may wait already, or not yet
	if err := <-waits; err == nil {
		t.Error("a reader did not hear of the gap")
	}
	if oldest := compacted(t, r, 999); oldest != 2001 {
		t.Errorf("compacted up to %d", oldest)
	}
	fill(r, 2001, 2100)
	r.Close()
	r = open(t, cfg)
	if oldest, last := r.Range(); oldest != 2001 || last != 2100 {
		t.Errorf("opened with %d to %d", oldest, last)
	}
	mustFollow(t, r, Cursor{Index: 2001}, 2100)
	r.Jump(2050) // an older snapshot: it is known what led there
	mustFollow(t, r, Cursor{Index: 2001}, 2100)
}

// TestTornTail cuts the newest segment at every place.
func TestTornTail(t *testing.T) {
	cfg := small(t)
	r := open(t, cfg)
	fill(r, 1, 20)
	r.Flush()
	fill(r, 21, 40)
	r.Close()
	path := segmentPath(cfg.Dir, 1)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(good) + 1 {
		torn := append(bytes.Clone(good[:n]), bytes.Repeat([]byte{0}, 3*(n%2))...) // zeroes: an extent without data
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		r := Open(cfg)
		oldest, last := r.Range()
		if want := map[bool]uint64{true: 40, false: 20}[n == len(good)]; oldest != 1 || last != 0 && last != want {
			t.Fatalf("cut at %d of %d: %d to %d", n, len(good), oldest, last)
		}
		fill(r, 1, 60)
		mustFollow(t, r, Cursor{}, 60)
		r.Close()
	}
}

// TestDamage flips a bit in the middle of an old segment: what is before it, and in
// it, is compacted; the rest is in memory, and is written again.
func TestDamage(t *testing.T) {
	cfg := small(t)
	r := open(t, cfg)
	fill(r, 1, 4000)
	r.Close()
	path := segmentPath(cfg.Dir, 1)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 4
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	r = open(t, cfg)
	fill(r, 4001, 4100)
	if _, err := follow(t, r, Cursor{}, 4100); !errors.As(err, new(*CompactedError)) {
		t.Fatalf("through the damage: %v", err)
	}
	oldest, _ := r.Range()
	mustFollow(t, r, Cursor{Index: oldest}, 4100)
	r.Close()
	r = open(t, cfg)
	mustFollow(t, r, Cursor{Index: oldest}, 4100)
}

// TestForeignSegments: those of another master, or of another version, are dropped.
func TestForeignSegments(t *testing.T) {
	cfg := small(t)
	r := open(t, cfg)
	fill(r, 1, 100)
	r.Close()
	cfg.Owner = "c/n2"
	r = open(t, cfg)
	if oldest, last := r.Range(); oldest != 1 || last != 0 {
		t.Errorf("opened with %d to %d", oldest, last)
	}
	r.Flush()
	if list, _ := os.ReadDir(cfg.Dir); len(list) > 1 {
		t.Errorf("%d files are left", len(list))
	}
	cfg.Dir = filepath.Join(cfg.Dir, segmentPath("", 0)) // a file stands there
	if err := os.WriteFile(cfg.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r = open(t, cfg)
	fill(r, 1, 100)
	mustFollow(t, r, Cursor{Index: 1}, 100)
}

// TestReadersOfAllSpeeds appends while some read; nobody misses anything unless told.
func TestReadersOfAllSpeeds(t *testing.T) {
	cfg := small(t)
	cfg.DiskBytes = 512 << 10
	r := open(t, cfg)
	const last = 20_000
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Go(func() {
			from := Cursor{}
			for from.Index <= last {
				to := min(from.Index+uint64(1+k*997), last)
				_, err := follow(t, r, from, to)
				if gone, ok := errors.AsType[*CompactedError](err); ok {
					to, err = gone.Oldest-1, nil
				}
				if err != nil {
					t.Error(err)
					return
				}
				from = Cursor{Index: to + 1}
			}
		})
	}
	fill(r, 1, last)
	wg.Wait()
}

func TestFilter(t *testing.T) {
	r := open(t, small(t))
	var enc Encoder
	enc.Begin(1, 1, 1)
	for i := range uint64(10) {
		*enc.Next() = Event{Type: []Type{Created, Assigned}[i%2], Task: i / 2, Queue: []string{"a", "b"}[i/5], Worker: fmt.Sprint("w", i%3), Batch: i}
		enc.Add()
	}
	record, n := enc.Record()
	r.Append(1, record, n)
	created := Filter{}
	created.Want(Created)
	created.Want(Dead)
	for _, tt := range []struct {
		f    Filter
		want int
	}{{Filter{}, 10}, {created, 5}, {Filter{Task: 3}, 2}, {Filter{Queue: "b"}, 5}, {Filter{Worker: "w0"}, 4}, {Filter{Batch: 9}, 1}, {Filter{Queue: "c"}, 0}} {
		s := r.Stream(Cursor{}, tt.f)
		if err := s.More(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := 0
		for e, _ := s.Event(); e != nil; e, _ = s.Event() {
			got++
		}
		if got != tt.want || s.Cursor() != (Cursor{Index: 2}) {
			t.Errorf("%+v chooses %d and ends at %s, want %d", tt.f, got, s.Cursor(), tt.want)
		}
		s.Close()
	}
	if n := r.Stats().Streams; n != 0 {
		t.Errorf("%d streams are open", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	cfg := DefaultConfig()
	cfg.Dir = b.TempDir()
	r := Open(cfg)
	defer r.Close()
	var enc Encoder
	index := uint64(0)
	for b.Loop() { // an entry of 64 events
		index++
		enc.Begin(index, 7, int64(index))
		for i := range uint64(64) {
			*enc.Next() = Event{Type: Completed, Principal: "worker:w1", Task: index*64 + i, Queue: "mail", Kind: "send", Fence: index*64 + i, Session: 12, Worker: "w1"}
			enc.Add()
		}
		record, n := enc.Record()
		r.Append(index, record, n)
		r.Publish()
	}
}
