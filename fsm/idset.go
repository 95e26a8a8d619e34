package fsm

import (
	"math/bits"
	"slices"
)

// An idSet holds task ids in little room. Ids are dense, so each block of 4,096
// of them is either a short sorted list or a bitmap: a set of all of a million
// tasks takes 140 KiB, a set of one task 60 bytes. Adding and removing cost about
// as much as a look-up in a sorted list of blocks.
type idSet struct {
	blocks []idBlock // by base, none empty but the last
	n      int
	at     int // the block changed last
}

const (
	blockIDs  = 4096
	blockBits = 12 // of an id, its place in its block
	listIDs   = 128
)

// idBlock holds ids from base*blockIDs on; bits counts once it is not nil.
type idBlock struct {
	base uint64
	n    int
	list []uint16 // sorted; at most listIDs
	bits *blockMask
}

// blockMask has a bit for each id of a block.
type blockMask [blockIDs / 64]uint64

func (m *blockMask) has(i uint16) bool { return m[i/64]&(1<<(i%64)) != 0 }

func (s *idSet) len() int {
	if s == nil {
		return 0
	}
	return s.n
}

// find returns where the block with this base is, or would be. New ids are the
// largest, so the last block is looked at first.
func (s *idSet) find(base uint64) (int, bool) {
	if n := len(s.blocks); n == 0 || s.blocks[n-1].base < base {
		return n, false
	} else if s.blocks[n-1].base == base {
		return n - 1, true
	}
	low, high := 0, len(s.blocks)
	for low < high {
		if mid := int(uint(low+high) / 2); s.blocks[mid].base < base {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, s.blocks[low].base == base
}

// locate is find for who changes the set: changes come in runs.
func (s *idSet) locate(base uint64) (int, bool) {
	if s.at < len(s.blocks) && s.blocks[s.at].base == base {
		return s.at, true
	}
	i, ok := s.find(base)
	s.at = i
	return i, ok
}

func (s *idSet) has(id uint64) bool {
	i, ok := s.find(id >> blockBits)
	return ok && s.blocks[i].has(uint16(id%blockIDs))
}

func (b *idBlock) has(i uint16) bool {
	if b.bits != nil {
		return b.bits.has(i)
	}
	_, ok := slices.BinarySearch(b.list, i)
	return ok
}

// add puts an id in; that it is there already does no harm.
func (s *idSet) add(id uint64) {
	base, in := id>>blockBits, uint16(id%blockIDs)
	i, ok := s.locate(base)
	if last := len(s.blocks) - 1; !ok && i > last && last >= 0 && s.blocks[last].n == 0 {
		i, s.at = last, last
		s.blocks[i].base = base
	} else if !ok {
		s.blocks = slices.Insert(s.blocks, i, idBlock{base: base})
	}
	b := &s.blocks[i]
	if b.bits == nil {
		at := len(b.list)
		if at > 0 && b.list[at-1] >= in {
			if at, ok = slices.BinarySearch(b.list, in); ok {
				return
			}
		}
		if len(b.list) < listIDs {
			b.list = slices.Insert(b.list, at, in)
			b.n++
			s.n++
			return
		}
		b.toBits()
	}
	if !b.bits.has(in) {
		b.bits[in/64] |= 1 << (in % 64)
		b.n++
		s.n++
	}
}

// remove takes an id out; that it is not there does no harm.
func (s *idSet) remove(id uint64) {
	i, ok := s.locate(id >> blockBits)
	if !ok {
		return
	}
	b, in := &s.blocks[i], uint16(id%blockIDs)
	if b.bits != nil {
		if !b.bits.has(in) {
			return
		}
		b.bits[in/64] &^= 1 << (in % 64)
	} else {
		at, ok := slices.BinarySearch(b.list, in)
		if !ok {
			return
		}
		b.list = slices.Delete(b.list, at, at+1)
	}
	b.n--
	s.n--
	switch {
	case b.n == 0 && i == len(s.blocks)-1: // its memory serves the next one
	case b.n == 0:
		s.blocks = slices.Delete(s.blocks, i, i+1)
	case b.bits != nil && b.n <= listIDs/2:
		b.toList()
	}
}

func (b *idBlock) toBits() {
	b.bits = new(blockMask)
	for _, in := range b.list {
		b.bits[in/64] |= 1 << (in % 64)
	}
	b.list = nil
}

func (b *idBlock) toList() {
	b.list = make([]uint16, 0, b.n)
	for i, word := range b.bits {
		for ; word != 0; word &= word - 1 {
			b.list = append(b.list, uint16(64*i+bits.TrailingZeros64(word)))
		}
	}
	b.bits = nil
}

// mask writes the block as a bitmap.
func (b *idBlock) mask(m *blockMask) {
	if b.bits != nil {
		*m = *b.bits
		return
	}
	*m = blockMask{}
	for _, in := range b.list {
		m[in/64] |= 1 << (in % 64)
	}
}

// from yields the ids that are at least id, in order. The set must not change
// while it runs.
func (s *idSet) from(id uint64) func(yield func(uint64) bool) {
	return func(yield func(uint64) bool) {
		if s == nil {
			return
		}
		i, _ := s.find(id >> blockBits)
		var m blockMask
		for ; i < len(s.blocks); i++ {
			b := &s.blocks[i]
			b.mask(&m)
			for w, word := range m {
				for ; word != 0; word &= word - 1 {
					got := b.base<<blockBits | uint64(64*w+bits.TrailingZeros64(word))
					if got >= id && !yield(got) {
						return
					}
				}
			}
		}
	}
}
