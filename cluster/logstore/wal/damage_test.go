package wal

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// filled returns the directory of a closed log of several segments that holds the
// entries 1 to n in batches of three, the last ones without a mark behind them.
func filled(t testing.TB, n uint64, marked bool) string {
	t.Helper()
	l := open(t, create(t, small), small)
	for i := uint64(1); i <= n; i += 3 {
		must(t, l.Append(batch(i, i+2, 50)))
	}
	if marked {
		must(t, l.Mark())
	}
	must(t, l.Close())
	return l.dir
}

// tail returns the last segment's path and where its last frame ends.
func tail(t testing.TB, dir string) (path string, end int64) {
	t.Helper()
	l := open(t, dir, small)
	s := l.segments[len(l.segments)-1]
	path, end = filepath.Join(dir, segmentName(s.number)), s.end
	must(t, l.Close())
	return path, end
}

// TestTornWrite cuts the last write off at every 16th byte: the entries before it
// are there, and those of the torn one are all gone.
func TestTornWrite(t *testing.T) {
	const n = 30
	dir := filled(t, n, false)
	path, end := tail(t, dir)
	good, err := os.ReadFile(path)
	must(t, err)
	size := frameSize(batchSize(batch(n-2, n, 50)))
	for cut := end - size; cut < end; cut += 16 {
		torn := bytes.Clone(good)
		clear(torn[cut:])
		must(t, os.WriteFile(path, torn, 0o600))
		l := open(t, dir, small)
		holds(t, l, batch(1, n-3, 50))
		if cut > end-size+frameHead && l.Torn() == 0 {
			t.Errorf("cut at %d: nothing is said of the torn write", cut)
		}
		must(t, l.Append(batch(n-2, n-1, 20)))
		l = reopen(t, l)
		holds(t, l, append(batch(1, n-3, 50), batch(n-2, n-1, 20)...))
		must(t, l.Close())
	}
}

// TestFlippedBits: with a mark at its end, no flipped bit of the log goes unseen.
func TestFlippedBits(t *testing.T) {
	const n = 90
	dir := filled(t, n, true)
	_, end := tail(t, dir)
	paths := files(t, dir)
	rng := rand.New(rand.NewPCG(3, 4))
	refused := 0
	for round := range 160 {
		path := paths[round%len(paths)]
		good, err := os.ReadFile(path)
		must(t, err)
		within := int64(len(good))
		if path == paths[len(paths)-1] {
			within = end
		}
		bad := bytes.Clone(good)
		at := rng.Int64N(within)
		bad[at] ^= 1 << rng.IntN(8)
		must(t, os.WriteFile(path, bad, 0o600))
		l, err := Open(dir, small, accept)
		switch {
		case err == nil: // it hit nothing: the end of a sealed segment, or the mark
			holds(t, l, batch(1, n, 50))
			must(t, l.Close())
		case errors.Is(err, ErrDamaged):
			refused++
		default:
			t.Fatalf("byte %d of %s: %v is not ErrDamaged", at, path, err)
		}
		must(t, os.WriteFile(path, good, 0o600))
	}
	t.Logf("%d of 160 refused, the others hit unused bytes", refused)
	if refused < 120 {
		t.Error("too few: does the damage hit anything?")
	}
}

// TestBadFiles are files that are not the log's.
func TestBadFiles(t *testing.T) {
	middle := func(paths []string) string { return paths[len(paths)/2] }
	for name, spoil := range map[string]func(t *testing.T, dir string, paths []string){
		"a segment is missing":  func(t *testing.T, _ string, paths []string) { must(t, os.Remove(middle(paths))) },
		"the first is missing":  func(t *testing.T, _ string, paths []string) { must(t, os.Remove(paths[0])) },
		"all are missing":       func(t *testing.T, _ string, paths []string) { removeAll(t, paths) },
		"truncated":             func(t *testing.T, _ string, paths []string) { must(t, os.Truncate(middle(paths), 1000)) },
		"truncated to nothing":  func(t *testing.T, _ string, paths []string) { must(t, os.Truncate(middle(paths), 0)) },
		"the tail is truncated": func(t *testing.T, _ string, paths []string) { must(t, os.Truncate(paths[len(paths)-1], small/2)) },
		"the tail is zero": func(t *testing.T, _ string, paths []string) {
			must(t, os.WriteFile(paths[len(paths)-1], make([]byte, small), 0o600))
		},
		"another's segment": func(t *testing.T, _ string, paths []string) {
			copyFile(t, middle(paths), files(t, filled(t, 90, true))[len(paths)/2])
		},
		"an older segment's copy": func(t *testing.T, _ string, paths []string) { copyFile(t, middle(paths), paths[0]) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filled(t, 90, true)
			spoil(t, dir, files(t, dir))
			if l, err := Open(dir, small, accept); !errors.Is(err, ErrDamaged) {
				t.Errorf("error = %v, want ErrDamaged", err)
				if err == nil {
					l.Close()
				}
			}
		})
	}
}

func removeAll(t *testing.T, paths []string) {
	for _, p := range paths {
		must(t, os.Remove(p))
	}
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, b, 0o600))
}

// TestCheckRefuses: an entry that the caller does not accept ends the opening.
func TestCheckRefuses(t *testing.T) {
	dir := filled(t, 9, true)
	bad := errors.New("bad entry")
	_, err := Open(dir, small, func(l *raft.Log) error {
		if l.Index == 5 {
			return bad
		}
		return nil
	})
	if !errors.Is(err, bad) {
		t.Errorf("error = %v", err)
	}
}

// FuzzSegment: whatever is in the last segment, opening neither panics nor gives
// entries other than those that were stored.
func FuzzSegment(f *testing.F) {
	dir := filled(f, 30, false)
	path, _ := tail(f, dir)
	good, err := os.ReadFile(path)
	must(f, err)
	f.Add(uint32(0), []byte{1})
	f.Add(uint32(64), []byte{0xff, 0xff, 0xff, 0xff})
	f.Add(uint32(68), []byte{4})
	f.Fuzz(func(t *testing.T, at uint32, change []byte) {
		bad := bytes.Clone(good)
		copy(bad[int(at)%len(bad):], change)
		must(t, os.WriteFile(path, bad, 0o600))
		l, err := Open(dir, small, accept)
		if err != nil {
			return
		}
		defer l.Close()
		var got raft.Log
		for i := l.First(); i <= l.Last() && i > 0; i++ {
			if found, err := l.Get(i, &got); !found || err != nil || !equal(&got, entry(i, 50)) {
				t.Fatalf("entry %d = %+v, %v, %v", i, got, found, err)
			}
		}
	})
}
