package faultdisk

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// node is a file or a directory. What only reads is the loopback's.
type node struct {
	*fs.LoopbackNode
	disk *Disk
}

// WrapChild makes nodes of what the loopback finds and makes.
func (n *node) WrapChild(_ context.Context, child fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{LoopbackNode: child.(*fs.LoopbackNode), disk: n.disk}
}

// path is where the node lies in the backing directory.
func (n *node) path() string { return filepath.Join(n.RootData.Path, n.Path(n.Root())) }

func (n *node) inode() uint64 { return n.StableAttr().Ino }

// Write changes or appends to a file.
func (n *node) Write(ctx context.Context, f fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	o := changes
	if size, err := size(n.path()); err == nil && off+int64(len(data)) > size {
		o = grows
	}
	if errno := n.disk.meet(o); errno != 0 {
		return 0, errno
	}
	var wrote uint32
	errno := n.disk.change(n, off, int64(len(data)), func() (errno syscall.Errno) {
		wrote, errno = f.(fs.FileWriter).Write(ctx, data, off)
		return errno
	})
	return wrote, errno
}

// Writev is Write of a request that came in pieces.
func (n *node) Writev(ctx context.Context, f fs.FileHandle, pieces [][]byte, off int64) (uint32, syscall.Errno) {
	return n.Write(ctx, f, slices.Concat(pieces...), off)
}

// Fsync makes a file's content, or a directory's names, durable.
func (n *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	until, bytes := n.disk.mark(n) // what changes while the sync is under way is not in it
	if errno := n.disk.meet(syncs); errno != 0 {
		return errno
	}
	n.disk.settle(n.inode(), until, bytes)
	return 0
}

// Allocate gives a file blocks.
func (n *node) Allocate(ctx context.Context, f fs.FileHandle, off, length uint64, mode uint32) syscall.Errno {
	if errno := n.disk.meet(grows); errno != 0 {
		return errno
	}
	return n.disk.change(n, int64(off), int64(length), func() syscall.Errno {
		return f.(fs.FileAllocater).Allocate(ctx, off, length, mode)
	})
}

// Setattr changes a file's size, mode or times; of these only the size counts.
func (n *node) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	set := func() syscall.Errno { return n.LoopbackNode.Setattr(ctx, f, in, out) }
	to, resizes := in.GetSize()
	if !resizes {
		return set()
	}
	o := changes
	old, err := size(n.path())
	if err != nil {
		return fs.ToErrno(err)
	}
	if int64(to) > old {
		o = grows
	}
	if errno := n.disk.meet(o); errno != 0 {
		return errno
	}
	return n.disk.change(n, min(int64(to), old), max(int64(to), old)-min(int64(to), old), set)
}

// OpendirHandle opens a directory whose sync is the node's, not the backing one's.
func (n *node) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	h, mode, errno := n.LoopbackNode.OpendirHandle(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	return listing{h.(lister)}, mode, 0
}

type lister interface {
	fs.FileReaddirenter
	fs.FileSeekdirer
	fs.FileReleasedirer
}

type listing struct{ lister }

// CopyFileRange is not offered: programs then read and write.
func (n *node) CopyFileRange(context.Context, fs.FileHandle, uint64, *fs.Inode, fs.FileHandle, uint64, uint64, uint64) (uint32, syscall.Errno) {
	return 0, syscall.ENOSYS
}

// Open opens a file, and cuts it off first if told to.
func (n *node) Open(ctx context.Context, flags uint32) (f fs.FileHandle, mode uint32, errno syscall.Errno) {
	if flags&syscall.O_TRUNC == 0 {
		return n.LoopbackNode.Open(ctx, flags)
	}
	if errno := n.disk.meet(changes); errno != 0 {
		return nil, 0, errno
	}
	old, err := size(n.path())
	if err != nil {
		return nil, 0, fs.ToErrno(err)
	}
	errno = n.disk.change(n, 0, old, func() syscall.Errno {
		f, mode, errno = n.LoopbackNode.Open(ctx, flags)
		return errno
	})
	return f, mode, errno
}

// Create makes a file.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (in *fs.Inode, f fs.FileHandle, fuseFlags uint32, errno syscall.Errno) {
	if errno := n.disk.meet(grows); errno != 0 {
		return nil, nil, 0, errno
	}
	errno = n.disk.rename(n, func(dir string) error { return os.Remove(filepath.Join(dir, name)) }, func() syscall.Errno {
		in, f, fuseFlags, errno = n.LoopbackNode.Create(ctx, name, flags, mode, out)
		return errno
	})
	return in, f, fuseFlags, errno
}

// Mkdir makes a directory.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (in *fs.Inode, errno syscall.Errno) {
	if errno := n.disk.meet(grows); errno != 0 {
		return nil, errno
	}
	errno = n.disk.rename(n, func(dir string) error { return os.RemoveAll(filepath.Join(dir, name)) }, func() syscall.Errno {
		in, errno = n.LoopbackNode.Mkdir(ctx, name, mode, out)
		return errno
	})
	return in, errno
}

// Link gives a file one more name.
func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (in *fs.Inode, errno syscall.Errno) {
	if errno := n.disk.meet(grows); errno != 0 {
		return nil, errno
	}
	errno = n.disk.rename(n, func(dir string) error { return os.Remove(filepath.Join(dir, name)) }, func() syscall.Errno {
		in, errno = n.LoopbackNode.Link(ctx, target, name, out)
		return errno
	})
	return in, errno
}

// Unlink removes a file's name.
func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	if errno := n.disk.meet(changes); errno != 0 {
		return errno
	}
	kept, errno := n.disk.keep(filepath.Join(n.path(), name))
	if errno != 0 {
		return errno
	}
	return n.disk.rename(n, func(dir string) error { return os.Rename(kept, filepath.Join(dir, name)) }, func() syscall.Errno {
		return n.LoopbackNode.Unlink(ctx, name)
	}, kept)
}

// Rmdir removes an empty directory.
func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	if errno := n.disk.meet(changes); errno != 0 {
		return errno
	}
	return n.disk.rename(n, func(dir string) error { return os.Mkdir(filepath.Join(dir, name), 0o700) }, func() syscall.Errno {
		return n.LoopbackNode.Rmdir(ctx, name)
	})
}

// Rename gives a file or a directory another name, which another file may have had.
// It is durable when the directory of the new name is synced.
func (n *node) Rename(ctx context.Context, name string, parent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	to, ok := parent.(*node)
	if !ok || flags != 0 {
		return syscall.EINVAL
	}
	if errno := n.disk.meet(changes); errno != 0 {
		return errno
	}
	from, kept := filepath.Join(n.path(), name), ""
	if info, err := os.Lstat(filepath.Join(to.path(), newName)); err == nil && !info.IsDir() {
		var errno syscall.Errno
		if kept, errno = n.disk.keep(filepath.Join(to.path(), newName)); errno != 0 {
			return errno
		}
	}
	undo := func(dir string) error {
		err := os.Rename(filepath.Join(dir, newName), from)
		if kept != "" && err == nil {
			err = os.Rename(kept, filepath.Join(dir, newName))
		}
		return err
	}
	return n.disk.rename(to, undo, func() syscall.Errno {
		return n.LoopbackNode.Rename(ctx, name, parent, newName, flags)
	}, kept)
}

// Statfs says how much room there is.
func (n *node) Statfs(ctx context.Context, out *fuse.StatfsOut) syscall.Errno {
	errno := n.LoopbackNode.Statfs(ctx, out)
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if n.disk.faults.Full {
		out.Bavail, out.Bfree = 0, 0
	}
	return errno
}

func size(path string) (int64, error) {
	var st syscall.Stat_t
	err := syscall.Stat(path, &st)
	return st.Size, err
}
