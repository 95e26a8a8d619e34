package logstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// pages reads a bbolt file without bbolt: its format (version 2) has no
// checksums on pages, and bbolt follows whatever they say, in goroutines of its
// own where a panic cannot be recovered. So every page that bbolt would follow is
// walked here first: in bounds, of its kind, used once, keys in order. The layout
// is bbolt's internal/common: native byte order, packed structs.
type pages struct {
	file     io.ReaderAt
	pageSize uint64
	limit    uint64 // first page number that is not in use
	root     uint64
	seen     []uint64 // bit set
	used     uint64
	bufs     [][]byte // one per depth
}

const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	pageHeader     = 16
	elementHeader  = 16 // of branch and leaf elements
	flagBranch     = 0x01
	flagLeaf       = 0x02
	flagMeta       = 0x04
	flagBucket     = 0x01 // of a leaf element
	noFreelist     = 1<<64 - 1
	maxDepth       = 24
	maxPageBytes   = 64 << 20 // of one page with its overflow: a few of the largest entries
	minPageSize    = 1 << 10
	maxBoltPage    = 64 << 10
	metaEnd        = pageHeader + 64
	bucketHeader   = 16
	metaChecksumAt = metaEnd - 8
)

var errDamaged = errors.New("damaged: remove this member and re-add it with --rejoin")

var native = binary.NativeEndian

// openPages checks size and both meta pages.
func openPages(file io.ReaderAt, size int64) (*pages, error) {
	if size == 0 {
		return nil, fmt.Errorf("0 bytes, the content is lost: %w", errDamaged)
	}
	m, err := readMeta(file, 0)
	if err != nil {
		return nil, err
	}
	other, err := readMeta(file, int64(m.pageSize))
	if err != nil {
		return nil, err
	}
	if other.pageSize != m.pageSize {
		return nil, fmt.Errorf("page sizes differ (%d, %d): %w", m.pageSize, other.pageSize, errDamaged)
	}
	if other.txid > m.txid {
		m = other
	}
	if m.freelist != noFreelist {
		return nil, fmt.Errorf("written by another program (it has a free list): %w", errDamaged)
	}
	if m.limit < 4 || m.limit > uint64(size)/m.pageSize || uint64(size)%m.pageSize != 0 {
		return nil, fmt.Errorf("truncated: %d bytes, %d pages of %d in use: %w", size, m.limit, m.pageSize, errDamaged)
	}
	return &pages{
		file: file, pageSize: m.pageSize, limit: m.limit, root: m.root, used: 2,
		seen: make([]uint64, m.limit/64+1),
	}, nil
}

type meta struct{ pageSize, root, freelist, limit, txid uint64 }

// readMeta reads the meta page at an offset. Both must be valid: each is smaller
// than a disk sector, so a crash never damages one, and falling back to the older
// would silently forget a transaction that was acknowledged.
func readMeta(file io.ReaderAt, at int64) (meta, error) {
	b := make([]byte, metaEnd)
	if _, err := file.ReadAt(b, at); err != nil {
		if errors.Is(err, io.EOF) {
			return meta{}, fmt.Errorf("truncated: no meta page at byte %d: %w", at, errDamaged)
		}
		return meta{}, fmt.Errorf("read meta page: %w", err)
	}
	if native.Uint32(b[16:]) != boltMagic || native.Uint16(b[8:]) != flagMeta {
		return meta{}, fmt.Errorf("no bolt meta page at byte %d: %w", at, errDamaged)
	}
	if v := native.Uint32(b[20:]); v != boltVersion {
		return meta{}, fmt.Errorf("bolt file version %d is not supported (want %d): %w", v, boltVersion, errDamaged)
	}
	h := fnv.New64a()
	h.Write(b[pageHeader:metaChecksumAt])
	if stored, computed := native.Uint64(b[metaChecksumAt:]), h.Sum64(); stored != computed {
		return meta{}, fmt.Errorf("meta page at byte %d checksum mismatch (stored %016x, computed %016x): %w", at, stored, computed, errDamaged)
	}
	m := meta{
		pageSize: uint64(native.Uint32(b[24:])),
		root:     native.Uint64(b[32:]),
		freelist: native.Uint64(b[48:]),
		limit:    native.Uint64(b[56:]),
		txid:     native.Uint64(b[64:]),
	}
	if m.pageSize < minPageSize || m.pageSize > maxBoltPage || m.pageSize&(m.pageSize-1) != 0 {
		return meta{}, fmt.Errorf("page size %d: %w", m.pageSize, errDamaged)
	}
	return m, nil
}

// usedBytes returns the size of the pages walked so far, and the meta pages.
func (p *pages) usedBytes() int64 { return int64(p.used * p.pageSize) }

// read returns a page with its overflow, valid until the next read at that depth.
func (p *pages) read(id uint64, depth int) ([]byte, error) {
	if depth >= maxDepth {
		return nil, fmt.Errorf("page %d: the tree is deeper than %d: %w", id, maxDepth, errDamaged)
	}
	if id < 2 || id >= p.limit {
		return nil, fmt.Errorf("page %d is out of bounds (2 to %d): %w", id, p.limit-1, errDamaged)
	}
	for depth >= len(p.bufs) {
		p.bufs = append(p.bufs, make([]byte, p.pageSize))
	}
	b := p.bufs[depth][:p.pageSize]
	if _, err := p.file.ReadAt(b, int64(id*p.pageSize)); err != nil {
		return nil, fmt.Errorf("read page %d: %w", id, err)
	}
	overflow := uint64(native.Uint32(b[12:]))
	if native.Uint64(b) != id || id+overflow >= p.limit || overflow*p.pageSize > maxPageBytes {
		return nil, fmt.Errorf("page %d says it is page %d with %d more: %w", id, native.Uint64(b), overflow, errDamaged)
	}
	for i := id; i <= id+overflow; i++ {
		if p.seen[i/64]&(1<<(i%64)) != 0 {
			return nil, fmt.Errorf("page %d is used twice: %w", i, errDamaged)
		}
		p.seen[i/64] |= 1 << (i % 64)
	}
	p.used += overflow + 1
	if overflow == 0 {
		return b, nil
	}
	size := (overflow + 1) * p.pageSize
	if uint64(cap(b)) < size {
		b = append(make([]byte, 0, size), b...)
		p.bufs[depth] = b
	}
	b = b[:size]
	if _, err := p.file.ReadAt(b[p.pageSize:], int64((id+1)*p.pageSize)); err != nil {
		return nil, fmt.Errorf("read page %d: %w", id+1, err)
	}
	return b, nil
}

// visitor receives the leaf elements of a tree in the order of their keys.
type visitor func(key, value []byte, bucket bool) error

// walk visits the tree below a page. Keys must be ≥ lo and, unless it is nil, < hi.
func (p *pages) walk(id uint64, depth int, lo, hi []byte, visit visitor) error {
	b, err := p.read(id, depth)
	if err != nil {
		return err
	}
	if native.Uint16(b[8:]) != flagBranch {
		return leaf(b, id, lo, hi, visit)
	}
	n := int(native.Uint16(b[10:]))
	if n == 0 {
		return fmt.Errorf("page %d: a branch without children: %w", id, errDamaged)
	}
	key, child, err := branchElement(b, 0)
	for i := range n {
		if err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
		var next []byte
		var nextChild uint64
		until := hi
		if i+1 < n {
			next, nextChild, err = branchElement(b, i+1)
			until = next
		}
		if bytes.Compare(key, lo) < 0 || until != nil && bytes.Compare(key, until) >= 0 {
			return fmt.Errorf("page %d: keys are not in order at element %d: %w", id, i, errDamaged)
		}
		if err := p.walk(child, depth+1, key, until, visit); err != nil {
			return err
		}
		key, child = next, nextChild
	}
	return nil
}

// branchElement returns the key and page of a branch's element.
func branchElement(b []byte, i int) (key []byte, child uint64, err error) {
	at := pageHeader + i*elementHeader
	if at+elementHeader > len(b) {
		return nil, 0, fmt.Errorf("element %d is outside the page: %w", i, errDamaged)
	}
	e := b[at:]
	pos, size := uint64(native.Uint32(e)), uint64(native.Uint32(e[4:]))
	if pos+size > uint64(len(e)) || size == 0 {
		return nil, 0, fmt.Errorf("element %d is outside the page: %w", i, errDamaged)
	}
	return e[pos : pos+size], native.Uint64(e[8:]), nil
}

// leaf visits the elements of a leaf page, which may be one inside a bucket's value.
func leaf(b []byte, id uint64, lo, hi []byte, visit visitor) error {
	if len(b) < pageHeader || native.Uint16(b[8:]) != flagLeaf {
		return fmt.Errorf("page %d is neither branch nor leaf: %w", id, errDamaged)
	}
	n := int(native.Uint16(b[10:]))
	for i := range n {
		at := pageHeader + i*elementHeader
		if at+elementHeader > len(b) {
			return fmt.Errorf("page %d: element %d is outside the page: %w", id, i, errDamaged)
		}
		e := b[at:]
		flags := native.Uint32(e)
		pos, ksize, vsize := uint64(native.Uint32(e[4:])), uint64(native.Uint32(e[8:])), uint64(native.Uint32(e[12:]))
		if pos+ksize+vsize > uint64(len(e)) || flags > flagBucket || ksize == 0 {
			return fmt.Errorf("page %d: element %d is outside the page: %w", id, i, errDamaged)
		}
		key, value := e[pos:pos+ksize], e[pos+ksize:pos+ksize+vsize]
		if c := bytes.Compare(key, lo); c < 0 || c == 0 && i > 0 || hi != nil && bytes.Compare(key, hi) >= 0 {
			return fmt.Errorf("page %d: keys are not in order at element %d: %w", id, i, errDamaged)
		}
		lo = key
		if err := visit(key, value, flags == flagBucket); err != nil {
			return err
		}
	}
	return nil
}

// bucket visits the elements of a bucket, given its value in the parent.
func (p *pages) bucket(value []byte, visit visitor) error {
	if len(value) < bucketHeader {
		return fmt.Errorf("bucket of %d bytes: %w", len(value), errDamaged)
	}
	if root := native.Uint64(value); root != 0 {
		return p.walk(root, 1, nil, nil, visit) // depth 0 holds the parent's page
	}
	return leaf(value[bucketHeader:], 0, nil, nil, visit)
}
