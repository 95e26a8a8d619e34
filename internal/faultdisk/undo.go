package faultdisk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// pending are the changes of one inode that no sync has made durable yet.
type pending struct {
	file    *os.File // the inode, by whatever name it has then
	dir     bool
	size    int64 // of a file when it was synced last: what lies behind is new
	last    int   // number of the newest change
	changes []undo
}

// undo takes one change back.
type undo struct {
	seq  int
	do   func() error
	kept string // a file in the trash that the change may still need, "" for none
	data bool   // of a file's content, of which a power cut may leave a part
}

// of returns an inode's pending changes. Called with mu held.
func (d *Disk) of(n *node) (*pending, error) {
	if p := d.pending[n.inode()]; p != nil {
		return p, nil
	}
	info, err := os.Stat(n.path())
	if err != nil {
		return nil, err
	}
	mode := os.O_RDWR
	if info.IsDir() {
		mode = os.O_RDONLY
	}
	f, err := os.OpenFile(n.path(), mode, 0)
	if err != nil {
		return nil, err
	}
	p := &pending{file: f, dir: info.IsDir(), size: info.Size()}
	d.pending[n.inode()] = p
	return p, nil
}

// change does what changes length bytes of a file from off on, after having
// remembered them.
func (d *Disk) change(n *node, off, length int64, do func() syscall.Errno) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, err := d.of(n)
	if err != nil {
		return toErrno(err)
	}
	d.seq++
	p.last = d.seq
	if length = min(length, p.size-off); length > 0 {
		old := make([]byte, length)
		read, err := p.file.ReadAt(old, off) // less if it was cut off already, and remembered then
		if err != nil && err != io.EOF {
			return toErrno(err)
		}
		old = old[:read]
		p.changes = append(p.changes, undo{seq: d.seq, data: true, do: func() error {
			_, err := p.file.WriteAt(old, off)
			return err
		}})
	}
	return do()
}

// rename does what changes the names in a directory; take takes it back, wherever
// the directory is then.
func (d *Disk) rename(dir *node, take func(dir string) error, do func() syscall.Errno, kept ...string) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, err := d.of(dir)
	if err != nil {
		return toErrno(err)
	}
	if errno := do(); errno != 0 {
		return errno
	}
	d.seq++
	p.last = d.seq
	u := undo{seq: d.seq, do: func() error {
		return take(fmt.Sprintf("/proc/self/fd/%d", p.file.Fd()))
	}}
	if len(kept) > 0 {
		u.kept = kept[0]
	}
	p.changes = append(p.changes, u)
	return 0
}

// keep gives a file that is about to lose its name one in the trash.
func (d *Disk) keep(path string) (string, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seq++
	kept := filepath.Join(d.trash, fmt.Sprint(d.seq))
	return kept, toErrno(os.Link(path, kept))
}

// mark returns what a sync of an inode that begins now makes durable: changes up to
// a number, and a size.
func (d *Disk) mark(n *node) (until int, bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	bytes, _ = size(n.path()) // a file without a name is lost anyway
	return d.seq, bytes
}

// settle makes an inode's changes up to a mark durable.
func (d *Disk) settle(inode uint64, until int, bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.pending[inode]
	if p == nil {
		return
	}
	p.size = bytes
	p.changes = slices.DeleteFunc(p.changes, func(u undo) bool {
		durable := u.seq <= until
		if durable && u.kept != "" {
			os.Remove(u.kept)
		}
		return durable
	})
	if p.last <= until {
		p.file.Close()
		delete(d.pending, inode)
	}
}

// PowerCut takes back what was not synced, all of it or, if torn, of what was
// written to files a random part. It returns how many changes were lost. No process
// may use the disk meanwhile.
func (d *Disk) PowerCut(torn bool) (lost int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	spared := func() bool { return torn && rand.IntN(2) == 0 }
	var all []undo
	for _, p := range d.pending {
		all = append(all, p.changes...)
	}
	slices.SortFunc(all, func(a, b undo) int { return b.seq - a.seq })
	var errs []error
	for _, u := range all {
		if u.data && spared() {
			continue
		}
		lost++
		if err := u.do(); err != nil && !errors.Is(err, fs.ErrNotExist) { // its directory may be gone for good
			errs = append(errs, fmt.Errorf("take back change %d: %w", u.seq, err))
		}
	}
	for _, p := range d.pending {
		if info, err := p.file.Stat(); err == nil && !p.dir && info.Size() != p.size && !spared() {
			lost++
			errs = append(errs, p.file.Truncate(p.size))
		}
		p.file.Close()
	}
	clear(d.pending)
	return lost, errors.Join(errs...)
}

func toErrno(err error) syscall.Errno {
	var errno syscall.Errno
	if err == nil || errors.As(err, &errno) {
		return errno
	}
	return syscall.EIO
}
