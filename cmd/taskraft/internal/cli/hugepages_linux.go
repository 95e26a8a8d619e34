package cli

import (
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// layOut gets the heap hugeStep bytes of address space of which the kernel may
// make pages of 2 MiB. The runtime asks for no such pages, and where the kernel
// gives them only to those who ask (transparent_hugepage is madvise, the default
// of most servers) a heap has none: one that grows by 30 MB/s then faults 8,000
// times a second, at microseconds each on a virtual machine (docs/PERFORMANCE.md).
//
// It allocates a block, advises the kernel about it and gives it back. The runtime
// keeps the addresses, and what it allocates next lies there. Nothing of the block
// is touched, so it is no memory in use until then.
func layOut() {
	adviseBlock()
	runtime.GC() // until it is collected the block counts as live, and lets garbage grow in proportion
}

// adviseBlock is a function of its own so that no frame holds the block any more
// when it is collected. The block is a strings.Builder's because make would write
// zeros all over it if a part of its addresses had been used before.
//
//go:noinline
func adviseBlock() {
	var b strings.Builder
	b.Grow(hugeStep)
	b.WriteByte(0)
	block := unsafe.Slice(unsafe.StringData(b.String()), hugeStep)
	_ = unix.Madvise(block, unix.MADV_HUGEPAGE) // a kernel without them keeps to small ones
	runtime.KeepAlive(block)
}
