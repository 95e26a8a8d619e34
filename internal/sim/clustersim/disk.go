package clustersim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/taskraft/taskraft/cluster/datadir"
)

// disk is the disk of one master's process, in front of real files that are in
// memory: it takes virtual time for its writes, hangs, fails, is full, and knows what
// a power cut would take away.
type disk struct {
	dir   string
	dead  chan struct{} // closed at the end of its process
	sched *rand.Rand    // under mu
	slow  time.Duration // a sync, at most

	endless func() // its process goes on although a write has hung for hangLasts

	mu       sync.Mutex
	hangs    time.Time // writes that begin before wait until then
	hung     bool      // it was so once
	broken   bool      // every write fails
	full     bool      // as broken, and the space says so
	low      bool      // only the space says so
	flipped  bool      // a bit of the log is wrong
	unsynced []patch
	names    bool // those that are durable are known: see durable
	renamed  bool // a power cut took names away
}

// patch is a write that is not durable.
type patch struct {
	file os.FileInfo
	at   int64
	old  []byte
}

func newDisk(dir string, rng *rand.Rand, slow time.Duration) *disk {
	return &disk{dir: dir, dead: make(chan struct{}), sched: rng, slow: slow}
}

// hangLasts is for how long a process may wait for its disk: half a minute, and a look.
const hangLasts = 33 * time.Second

// store is in front of every durable write.
func (d *disk) store() error {
	d.mu.Lock()
	wait := time.Until(d.hangs)
	d.mu.Unlock()
	if d.sleep(wait); d.ended() {
		return nil
	}
	if wait > hangLasts {
		d.endless()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.full:
		return &os.PathError{Op: "write", Path: d.dir, Err: syscall.ENOSPC}
	case d.broken:
		return &os.PathError{Op: "write", Path: d.dir, Err: syscall.EIO}
	}
	return nil
}

// take takes the time of a sync.
func (d *disk) take() {
	d.mu.Lock()
	wait := max(time.Until(d.hangs), time.Duration(d.sched.Int64N(int64(d.slow)+1)))
	d.mu.Unlock()
	d.sleep(wait)
}

// sleep waits, for as long as the process runs.
func (d *disk) sleep(wait time.Duration) {
	if wait <= 0 {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.dead:
	}
}

// ended reports whether the process has ended. What is left of it in this one may go
// on: nobody sees what it does to a disk that was copied.
func (d *disk) ended() bool {
	select {
	case <-d.dead:
		return true
	default:
		return false
	}
}

// durable is the directory with the names that the log's files durably have: links to
// them, so that also what was renamed or removed since is there.
func (d *disk) durable() string { return d.dir + ".durable" }

// SyncingNames implements wal.Disk: when it returns nil, the names are durable.
func (d *disk) SyncingNames(dir string) error {
	d.take()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended() {
		return nil
	}
	return d.nameAll(dir)
}

// nameAll makes the names durable that there are now; with mu held.
func (d *disk) nameAll(dir string) error {
	err := errors.Join(os.RemoveAll(d.durable()), os.Mkdir(d.durable(), 0o700))
	files, listed := os.ReadDir(dir)
	err = errors.Join(err, listed)
	for _, f := range files {
		link := os.Link(filepath.Join(dir, f.Name()), filepath.Join(d.durable(), f.Name()))
		if !errors.Is(link, os.ErrNotExist) { // a spare, renamed or made again just now
			err = errors.Join(err, link)
		}
	}
	d.names = err == nil
	return err
}

// Writing implements wal.Disk.
func (d *disk) Writing(f *os.File, b []byte, at int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	old := make([]byte, len(b))
	if _, err := f.ReadAt(old, at); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unsynced = append(d.unsynced, patch{info, at, old})
	if d.names || d.ended() {
		return nil
	}
	return d.nameAll(filepath.Dir(f.Name())) // those that it was opened with
}

// Syncing implements wal.Disk: when it returns nil, the file is durable.
func (d *disk) Syncing(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	d.take()
	d.mu.Lock()
	defer d.mu.Unlock()
	keep := d.unsynced[:0]
	for _, p := range d.unsynced {
		if !os.SameFile(p.file, info) {
			keep = append(keep, p)
		}
	}
	d.unsynced = keep
	return nil
}

// space is how full the disk says it is.
func (d *disk) space() (datadir.Space, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := datadir.Space{Free: 100 << 30, Total: 200 << 30}
	if d.low || d.full {
		s.Free = 1 << 20
	}
	return s, nil
}

func (d *disk) set(change func(d *disk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

// image copies what is on the disk to another directory. In a power cut what was
// not synced is there, or not, or in part, and all names that were not are there or none
// is, as a journal has it; it reports whether something was lost.
func (d *disk) image(to string, power bool) (lost bool, err error) {
	if err := os.CopyFS(to, lasting{os.DirFS(d.dir)}); err != nil {
		return false, fmt.Errorf("copy the disk: %w", err)
	}
	if !power {
		return false, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	log := filepath.Join(d.dir, "wal")
	if d.names && d.sched.IntN(2) == 0 {
		d.renamed = !same(log, d.durable())
		log = d.durable()
		there := filepath.Join(to, "wal")
		if err := errors.Join(os.RemoveAll(there), os.CopyFS(there, os.DirFS(log))); err != nil {
			return false, fmt.Errorf("go back to the durable names: %w", err)
		}
	}
	for i := len(d.unsynced) - 1; i >= 0; i-- { // the newest first: older ones are under it
		p := d.unsynced[i]
		from := 0 // of the write, what is lost from here on
		switch d.sched.IntN(10) {
		case 0:
			continue
		case 1, 2:
			from = d.sched.IntN(len(p.old))
		}
		if err := undo(log, to, p, from); err != nil {
			return lost, err
		}
		lost = true
	}
	return lost, nil
}

// same reports whether two directories list the same.
func same(a, b string) bool {
	x, err := os.ReadDir(a)
	y, err2 := os.ReadDir(b)
	return err == nil && err2 == nil && slices.EqualFunc(x, y, func(a, b os.DirEntry) bool { return a.Name() == b.Name() })
}

// undo puts back, in the copy of a log, what was there before a write.
func undo(log, to string, p patch, from int) error {
	files, err := filepath.Glob(filepath.Join(log, "*"))
	if err != nil {
		return err
	}
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		if !os.SameFile(info, p.file) {
			continue
		}
		f, err := os.OpenFile(filepath.Join(to, "wal", filepath.Base(name)), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(p.old[from:], p.at+int64(from))
		return errors.Join(err, f.Close())
	}
	return nil // the file is gone, and what it held with it
}

// flip changes one bit of the log in a directory, in its older half, where no crash
// can have torn anything. It reports whether there was one to change.
func flip(dir string, rng *rand.Rand) (bool, error) {
	files, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	if err != nil || len(files) == 0 {
		return false, err
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		return false, err
	}
	end := len(b)
	for end > 0 && b[end-1] == 0 {
		end--
	}
	if end < 1<<10 {
		return false, nil
	}
	b[rng.IntN(end/2)] ^= 1 << rng.IntN(8)
	return true, os.WriteFile(files[0], b, 0o600)
}

// faulty reports whether a master that ends may blame this disk.
func (d *disk) faulty() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.broken || d.full || d.flipped || d.hung
}

// lasting is a master's directory without the files that it removes when it ends, as it
// may do while they are copied.
type lasting struct{ fs.FS }

// ReadDir implements fs.ReadDirFS.
func (l lasting) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(l.FS, name)
	return slices.DeleteFunc(list, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), datadir.SpoolName) }), err
}
