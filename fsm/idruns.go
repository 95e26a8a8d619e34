package fsm

import "math/bits"

// What searches and sweeps need of an idSet beside adding and removing.

// block writes the block with this number as a bitmap, if the set has it.
func (s *idSet) block(base uint64, m *blockMask) bool {
	i, ok := s.find(base)
	if ok {
		s.blocks[i].mask(m)
	}
	return ok
}

// first returns the least id.
func (s *idSet) first() (id uint64, ok bool) {
	for id := range s.from(0) {
		return id, true
	}
	return 0, false
}

// append adds a whole block above all others.
func (s *idSet) append(base uint64, m *blockMask) {
	n := 0
	for _, word := range m {
		n += bits.OnesCount64(word)
	}
	if n == 0 {
		return
	}
	b := idBlock{base: base, n: n, bits: m}
	if n <= listIDs/2 {
		b.toList()
	} else {
		c := *m
		b.bits = &c
	}
	s.blocks = append(s.blocks, b)
	s.n += n
}

// clone returns a set of the same ids that shares nothing with s.
func (s *idSet) clone() *idSet {
	out := &idSet{n: s.n, blocks: make([]idBlock, len(s.blocks))}
	for i, b := range s.blocks {
		if b.bits != nil {
			c := *b.bits
			b.bits = &c
		}
		b.list = append([]uint16(nil), b.list...)
		out.blocks[i] = b
	}
	return out
}

// runs writes the set as gaps and lengths in turn: so many ids that are not in it,
// from 0 on, then so many that are.
func (s *idSet) runs() (out []uint64) {
	end := uint64(0) // of the last run
	for id := range s.from(0) {
		if id == end && len(out) > 0 {
			out[len(out)-1]++
		} else {
			out = append(out, id-end, 1)
		}
		end = id + 1
	}
	return out
}

// idsOfRuns is the inverse; it is not ok unless runs writes just this, with ids
// from 1 to last.
func idsOfRuns(runs []uint64, last uint64) (s *idSet, ok bool) {
	s = new(idSet)
	if len(runs)%2 != 0 {
		return s, false
	}
	id := uint64(0)
	for i := 0; i < len(runs); i += 2 {
		gap, n := runs[i], runs[i+1]
		if gap == 0 || n == 0 || gap > last || id > last-gap || n > last-gap-id+1 {
			return s, false
		}
		for id += gap; n > 0; n-- {
			s.add(id)
			id++
		}
	}
	return s, true
}
