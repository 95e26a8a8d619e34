package faultdisk

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Faults are what is wrong with a disk now. The zero value is a sound one.
type Faults struct {
	Hang      bool          // no change returns
	Full      bool          // nothing new finds room; what is written in place does
	WriteErr  syscall.Errno // what every change fails with; 0: it does not
	SyncErr   syscall.Errno // what every sync fails with
	SyncDelay time.Duration // how long every sync takes
}

// Disk is one mounted directory. Its methods are safe for concurrent use.
type Disk struct {
	server *fuse.Server
	trash  string // holds what was removed and may have to come back

	mu      sync.Mutex
	changed *sync.Cond
	faults  Faults
	hits    int                 // operations that a fault met since it was set
	seq     int                 // of changes
	pending map[uint64]*pending // changes that no sync has made durable, by inode
}

// Mount shows backing, a directory that exists, at point, which it creates. The
// process that mounts must not use files under point itself.
func Mount(backing, point string) (*Disk, error) {
	d := &Disk{trash: backing + ".trash", pending: make(map[uint64]*pending)}
	d.changed = sync.NewCond(&d.mu)
	for _, dir := range []string{d.trash, point} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("mount %s: %w", point, err)
		}
	}
	var st syscall.Stat_t
	if err := syscall.Stat(backing, &st); err != nil {
		return nil, fmt.Errorf("mount %s: %w", point, err)
	}
	root := &fs.LoopbackRoot{Path: backing, Dev: uint64(st.Dev)}
	top := &node{LoopbackNode: &fs.LoopbackNode{RootData: root}, disk: d}
	root.RootNode = top
	fresh := time.Duration(0) // the kernel asks each time: a power cut changes files behind its back
	server, err := fs.Mount(point, top, &fs.Options{
		MountOptions: fuse.MountOptions{
			DirectMountStrict: true, FsName: filepath.Base(backing), Name: "faultdisk", DisableXAttrs: true, MaxWrite: 1 << 20,
			DisabledCapabilities: fuse.CAP_PASSTHROUGH,
		}, // or the kernel would write to the backing file by itself
		EntryTimeout: &fresh, AttrTimeout: &fresh, NegativeTimeout: &fresh,
	})
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", point, err)
	}
	d.server = server
	return d, nil
}

// Close heals the disk and unmounts it. Nobody may use it any more.
func (d *Disk) Close() error {
	d.Set(Faults{})
	if err := d.server.Unmount(); err != nil {
		return fmt.Errorf("unmount: %w", err)
	}
	d.server.Wait()
	return os.RemoveAll(d.trash)
}

// Set changes what is wrong with the disk.
func (d *Disk) Set(f Faults) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults, d.hits = f, 0
	d.changed.Broadcast()
}

// Hits returns how many operations met the faults that were set last.
func (d *Disk) Hits() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hits
}

// meet lets an operation of that sort meet what is wrong with the disk.
func (d *Disk) meet(o operation) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.faults.Hang {
		d.hits++
		for d.faults.Hang {
			d.changed.Wait()
		}
	}
	f := d.faults
	errno := syscall.Errno(0)
	switch {
	case o == syncs && f.SyncDelay > 0:
		d.hits++
		d.mu.Unlock()
		<-time.After(f.SyncDelay)
		d.mu.Lock()
		return d.faults.SyncErr
	case o == syncs:
		errno = f.SyncErr
	case f.WriteErr != 0:
		errno = f.WriteErr
	case o == grows && f.Full:
		errno = syscall.ENOSPC
	}
	if errno != 0 {
		d.hits++
	}
	return errno
}

// operation is a sort of change.
type operation int

const (
	changes operation = iota // in place
	grows                    // it needs room
	syncs
)
