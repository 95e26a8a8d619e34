package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// small makes tests fill many segments.
const small = 4 << 10

func accept(*raft.Log) error { return nil }

// entry makes the entry of an index: its content follows from index and size.
func entry(index uint64, size int) *raft.Log {
	return &raft.Log{
		Index: index, Term: 1 + index/100, Type: raft.LogCommand,
		Data:       bytes.Repeat([]byte{byte(index), byte(index >> 8), 0xa5}, size/3+1)[:size],
		Extensions: fmt.Append(nil, "x", index), AppendedAt: time.Unix(int64(index), 5).UTC(),
	}
}

func batch(lo, hi uint64, size int) []*raft.Log {
	var logs []*raft.Log
	for i := lo; i <= hi; i++ {
		logs = append(logs, entry(i, size))
	}
	return logs
}

func create(t testing.TB, size int64) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "wal")
	if _, err := Create(dir, size); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t testing.TB, dir string, size int64) *Log {
	t.Helper()
	l, err := Open(dir, size, accept)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func reopen(t testing.TB, l *Log) *Log {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, l.dir, l.size)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(a, b *raft.Log) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type && bytes.Equal(a.Data, b.Data) &&
		bytes.Equal(a.Extensions, b.Extensions) && a.AppendedAt.Equal(b.AppendedAt)
}

// holds fails unless the log is exactly want.
func holds(t testing.TB, l *Log, want []*raft.Log) {
	t.Helper()
	first, last := uint64(0), uint64(0)
	if len(want) > 0 {
		first, last = want[0].Index, want[len(want)-1].Index
	}
	if l.First() != first || l.Last() != last {
		t.Fatalf("log is %d to %d, want %d to %d", l.First(), l.Last(), first, last)
	}
	var got raft.Log
	for _, e := range want {
		if found, err := l.Get(e.Index, &got); !found || err != nil || !equal(&got, e) {
			t.Fatalf("entry %d = %+v, %v, %v, want %+v", e.Index, got, found, err, e)
		}
	}
	for _, outside := range []uint64{0, first - 1, last + 1} {
		if found, err := l.Get(outside, &got); found || err != nil {
			t.Fatalf("entry %d: found %v, %v", outside, found, err)
		}
	}
}

func files(t testing.TB, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	must(t, err)
	return found
}

func TestAppendAndReopen(t *testing.T) {
	l := open(t, create(t, small), small)
	holds(t, l, nil)
	must(t, l.Append(batch(7, 9, 10))) // the first entry may have any index
	must(t, l.Append([]*raft.Log{{Index: 10, Term: 3, Type: raft.LogConfiguration}}))
	must(t, l.Append(batch(11, 60, 300)))
	want := slices.Concat(batch(7, 9, 10), []*raft.Log{{Index: 10, Term: 3, Type: raft.LogConfiguration}}, batch(11, 60, 300))
	holds(t, l, want)
	if n := len(files(t, l.dir)); n < 2 {
		t.Errorf("%d segments: the test does not cross one's end", n)
	}
	for range 2 {
		l = reopen(t, l)
		holds(t, l, want)
	}
	must(t, l.Append(batch(61, 61, 10)))
	holds(t, reopen(t, l), append(want, entry(61, 10)))
}

// TestLargeBatch: a batch that fits into no segment gets one of its own.
func TestLargeBatch(t *testing.T) {
	l := open(t, create(t, small), small)
	must(t, l.Append(batch(1, 3, 100)))
	must(t, l.Append(batch(4, 4, 3*small)))
	must(t, l.Append(batch(5, 6, 100)))
	holds(t, reopen(t, l), slices.Concat(batch(1, 3, 100), batch(4, 4, 3*small), batch(5, 6, 100)))
}

// TestBlocksAreWrittenAhead: one small frame in hundreds writes blocks that were never
// written, and what a log held before is not where the next frames go.
func TestBlocksAreWrittenAhead(t *testing.T) {
	const size = 1 << 20
	l := open(t, create(t, size), size)
	tail := func() *segment { return l.segments[len(l.segments)-1] }
	var want []*raft.Log
	add := func(n int) {
		t.Helper()
		e := entry(l.Last()+1, n)
		must(t, l.Append([]*raft.Log{e}))
		want = append(want, e)
	}
	ahead := func() []byte {
		t.Helper()
		b := make([]byte, tail().used-tail().end)
		_, err := tail().file.ReadAt(b, tail().end)
		must(t, err)
		return bytes.Trim(b, "\x00")
	}
	add(100)
	first := tail().used
	for tail().end+1000 < first {
		add(500)
	}
	if used := tail().used; used != first || first < 200<<10 {
		t.Errorf("written up to byte %d, after the first frame up to %d", used, first)
	}
	for range 5 {
		add(500)
	}
	if tail().used == first || len(ahead()) > 0 {
		t.Errorf("written up to byte %d and then nothing, the log ends at %d, with %q behind it", first, tail().end, ahead())
	}
	for tail().end < tail().used {
		add(100 << 10)
	}
	if tail().used != tail().end {
		t.Errorf("a large frame, which ends at byte %d, was written ahead up to %d", tail().end, tail().used)
	}
	// What is left of a torn write, and of the file's last use, is overwritten.
	_, err := tail().file.WriteAt(bytes.Repeat([]byte("old"), 100), tail().end+2000)
	must(t, err)
	add(500)
	if len(ahead()) > 0 {
		t.Errorf("%q behind the log's end", ahead())
	}
	for len(l.segments) == 1 { // to the end of the file, and no further
		add(500)
	}
	if l.segments[0].used > size {
		t.Errorf("written up to byte %d of %d", l.segments[0].used, size)
	}
	holds(t, reopen(t, l), want)
}

func TestRefusesHoles(t *testing.T) {
	l := open(t, create(t, small), small)
	must(t, l.Append(batch(1, 3, 10)))
	for _, logs := range [][]*raft.Log{batch(3, 3, 1), batch(5, 5, 1), {entry(4, 1), entry(6, 1)}} {
		if err := l.Append(logs); err == nil {
			t.Errorf("entries from %d were appended", logs[0].Index)
		}
	}
	holds(t, reopen(t, l), batch(1, 3, 10))
}

// TestModel does random things, with reopening in between, and compares with a slice.
func TestModel(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 1))
		l := open(t, create(t, small), small)
		var want []*raft.Log
		next := 1 + rng.Uint64N(5)
		for range 200 {
			switch op := rng.IntN(12); {
			case op < 7:
				logs := batch(next, next+rng.Uint64N(4), rng.IntN(700))
				for _, e := range logs {
					e.Term += seed
				}
				must(t, l.Append(logs))
				want = append(want, logs...)
			case op < 9 && len(want) > 0:
				n := rng.IntN(len(want)) + 1
				must(t, l.DropFront(want[n-1].Index))
				want = want[n:]
			case op < 10 && len(want) > 0:
				n := rng.IntN(len(want) + 1)
				if n < len(want) {
					must(t, l.DropBack(want[n].Index))
					want = want[:n]
				}
			case op < 11:
				must(t, l.Mark())
			default:
				l = reopen(t, l)
			}
			switch {
			case len(want) > 0:
				next = want[len(want)-1].Index + 1
			case rng.IntN(2) == 0:
				next += rng.Uint64N(50) // after a snapshot the log may go on further ahead
			}
			holds(t, l, want)
		}
		holds(t, reopen(t, l), want)
	}
}

// TestFilesAreFreed: what a deletion leaves without entries is reused or removed.
func TestFilesAreFreed(t *testing.T) {
	l := open(t, create(t, small), small)
	for i := uint64(1); i <= 400; i++ {
		must(t, l.Append(batch(i, i, 200)))
		if i > 20 {
			must(t, l.DropFront(i-20))
		}
	}
	if n := len(files(t, l.dir)); n > 4 {
		t.Errorf("%d segments hold 20 entries", n)
	}
	if n := l.Files(); n > 6*small {
		t.Errorf("files take %d bytes", n)
	}
	holds(t, reopen(t, l), batch(381, 400, 200))
}

// TestStaleFrames: frames that a reused file held before are never read as the log's.
func TestStaleFrames(t *testing.T) {
	l := open(t, create(t, small), small)
	for i := uint64(1); i <= 100; i++ { // files go round many times
		must(t, l.Append(batch(i, i, 500)))
		must(t, l.DropFront(i-1))
		if i%9 == 0 {
			l = reopen(t, l)
			holds(t, l, batch(i, i, 500))
		}
	}
}

func TestIdentify(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "wal")
	id, err := Create(dir, small)
	must(t, err)
	if got, err := Identify(dir); got != id || err != nil {
		t.Errorf("id = %x, %v, want %x", got, err, id)
	}
	if _, err := Identify(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error = %v", err)
	}
}

// BenchmarkAppend writes one batch of 8 KiB, durably.
func BenchmarkAppend(b *testing.B) {
	l := open(b, create(b, DefaultSegment), DefaultSegment)
	data := make([]byte, 8<<10)
	next := uint64(1)
	b.ReportAllocs()
	for b.Loop() {
		must(b, l.Append([]*raft.Log{{Index: next, Term: 1, Data: data}}))
		next++
	}
}
