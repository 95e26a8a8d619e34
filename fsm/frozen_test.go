package fsm

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

var freeze = flag.Bool("freeze", false, "write the logs of all stories into testdata/vN, N being Level, for later versions to read")

// frozenStory is a story's log as some version wrote it: for each entry its bytes and
// the state hash after it; then the snapshot of the end.
type frozenStory struct {
	entries  [][]byte
	hashes   []uint64
	snapshot []byte
}

// TestFrozenLogs applies the logs that each version's stories wrote, and restores their
// snapshots: what an old version decided, this one decides, entry by entry (C5). Files
// of a released version never change; before the first release, a change of what is
// written or decided freezes them anew: go test ./fsm -run FrozenLogs -freeze.
func TestFrozenLogs(t *testing.T) {
	if *freeze {
		freezeStories(t)
	}
	files, err := filepath.Glob("testdata/v*/*.log")
	if err != nil || len(files) == 0 {
		t.Fatalf("no frozen logs: %v", err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		t.Run(strings.TrimPrefix(file, "testdata/"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			readFrozen(t, b).play(t, seen)
		})
	}
	kinds := (&fsmpb.Command{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	for i := range kinds.Len() {
		if name := string(kinds.Get(i).Name()); !seen[name] {
			t.Errorf("no frozen log has a %s: tell its story and freeze it", name)
		}
	}
}

// play applies the log to a new table, and notes the kinds of its commands.
func (f frozenStory) play(t *testing.T, seen map[string]bool) {
	t.Helper()
	m := New()
	for i, b := range f.entries {
		e, err := DecodeEntry(b)
		if err != nil {
			t.Fatalf("entry %d: %v", i+1, err)
		}
		for _, c := range e.Commands {
			r := c.ProtoReflect()
			seen[string(r.WhichOneof(r.Descriptor().Oneofs().ByName("kind")).Name())] = true
		}
		m.Apply(uint64(i+1), 1, e)
		if m.Hash() != f.hashes[i] {
			t.Fatalf("entry %d: state hash %016x, it was %016x: this version decides something else", i+1, m.Hash(), f.hashes[i])
		}
	}
	old, err := Restore(bytes.NewReader(f.snapshot))
	if err != nil {
		t.Fatal(err)
	}
	if old.Hash() != m.Hash() {
		t.Errorf("the restored snapshot has state hash %016x, the log %016x", old.Hash(), m.Hash())
	}
}

// freezeStories plays every story and writes its log, in place of all of this level.
func freezeStories(t *testing.T) {
	t.Helper()
	dir := fmt.Sprintf("testdata/v%d", Level)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	stories, _ := filepath.Glob("testdata/*.txt")
	for _, file := range stories {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := tellStory(t, string(text))
		f := frozenStory{entries: s.log, snapshot: snapshotBytes(t, s.m)}
		m := New()
		for i, b := range s.log {
			applyBytes(t, m, uint64(i+1), b)
			f.hashes = append(f.hashes, m.Hash())
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txt") + ".log"
		if err := os.WriteFile(filepath.Join(dir, name), f.encode(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (f frozenStory) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(len(f.entries)))
	for i, e := range f.entries {
		b = binary.AppendUvarint(b, uint64(len(e)))
		b = binary.BigEndian.AppendUint64(append(b, e...), f.hashes[i])
	}
	return append(b, f.snapshot...)
}

// readFrozen decodes a file that this test has written.
func readFrozen(t *testing.T, b []byte) (f frozenStory) {
	t.Helper()
	number := func() int {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)) {
			t.Fatal("the file is cut")
		}
		b = b[size:]
		return int(n)
	}
	for range number() {
		n := number()
		if len(b) < n+8 {
			t.Fatal("the file is cut")
		}
		f.entries = append(f.entries, b[:n])
		f.hashes = append(f.hashes, binary.BigEndian.Uint64(b[n:]))
		b = b[n+8:]
	}
	f.snapshot = b
	return f
}
