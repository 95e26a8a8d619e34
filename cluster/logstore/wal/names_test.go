package wal

import (
	"os"
	"path/filepath"
	"testing"
)

// powerless is a disk that keeps at once what is written into files, and their names
// when they are synced. The power may fail at any moment; it does whenever names are
// about to be synced, and each time the log of before must be there.
type powerless struct {
	t       *testing.T
	log     *Log
	durable string // links under the durable names
	cuts    int
}

func (p *powerless) Writing(*os.File, []byte, int64) error { return nil }
func (p *powerless) Syncing(*os.File) error                { return nil }

func (p *powerless) SyncingNames(dir string) error {
	p.cut()
	must(p.t, os.RemoveAll(p.durable))
	must(p.t, os.Mkdir(p.durable, 0o700))
	files, err := os.ReadDir(dir)
	must(p.t, err)
	for _, f := range files {
		if _, segment := parseName(f.Name()); segment { // the spare comes and goes meanwhile
			must(p.t, os.Link(filepath.Join(dir, f.Name()), filepath.Join(p.durable, f.Name())))
		}
	}
	return nil
}

func (p *powerless) cut() {
	p.t.Helper()
	left := filepath.Join(p.t.TempDir(), "left")
	must(p.t, os.CopyFS(left, os.DirFS(p.durable)))
	l, err := Open(left, small, accept)
	if err != nil {
		p.t.Fatalf("after a power cut with entries %d to %d: %v", p.log.First(), p.log.Last(), err)
	}
	if l.Last() != p.log.Last() {
		p.t.Errorf("after a power cut the log ends at %d instead of %d", l.Last(), p.log.Last())
	}
	must(p.t, l.Close())
	must(p.t, os.RemoveAll(left))
	p.cuts++
}

// TestNamesSurviveAPowerCut: files of segments are used again for later ones, and no
// power cut on the way brings one back under its old name with another's content (S18).
func TestNamesSurviveAPowerCut(t *testing.T) {
	l := open(t, create(t, small), small)
	p := &powerless{t: t, log: l, durable: filepath.Join(t.TempDir(), "durable")}
	must(t, os.CopyFS(p.durable, os.DirFS(l.dir)))
	l.Attend(p)
	must(t, p.SyncingNames(l.dir))
	for i := uint64(1); i <= 400; i++ {
		must(t, l.Append(batch(i, i, 200)))
		if i%10 == 0 && i > 20 {
			l.spare.wait()
			l.spare.size = 0 // it could not be made
			must(t, l.DropFront(i-20))
		}
	}
	if p.cuts < 20 {
		t.Errorf("%d power cuts, want more", p.cuts)
	}
}

// TestSpareStaysWhileItIsPut: while a segment's file becomes the spare, none is made in
// its place, which may fail and leave nothing.
func TestSpareStaysWhileItIsPut(t *testing.T) {
	dir := t.TempDir()
	const size = 4096
	must(t, os.WriteFile(filepath.Join(dir, segmentName(1)), make([]byte, size), 0o600))
	var s spare
	must(t, s.put(dir, &segment{head: head{number: 1, size: size}}, size, func() error {
		s.prepare(dir, 1<<62) // cannot be made
		s.wait()
		return nil
	}))
	if path, err := s.take(dir, size); err != nil {
		t.Errorf("the spare is gone: %v", err)
	} else if _, err := os.Stat(path); err != nil {
		t.Errorf("the spare is gone: %v", err)
	}
}
