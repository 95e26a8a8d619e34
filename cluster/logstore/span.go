package logstore

import "sort"

// span knows which entries the log holds and how large they are. The zero value
// is the empty log.
type span struct {
	first uint64 // index of the first entry, 0: empty
	base  int64  // bytes before the first entry, in the same count as ends
	ends  []int64
}

func (s *span) empty() bool { return len(s.ends) == 0 }

func (s *span) last() uint64 {
	if s.empty() {
		return 0
	}
	return s.first + uint64(len(s.ends)) - 1
}

func (s *span) has(index uint64) bool {
	return !s.empty() && index >= s.first && index <= s.last()
}

// end returns the count of bytes up to and including the entry; index may also
// be the one before the first.
func (s *span) end(index uint64) int64 {
	if s.empty() || index < s.first {
		return s.base
	}
	return s.ends[min(index, s.last())-s.first]
}

// add appends an entry, whose index must follow the last unless the log is empty.
func (s *span) add(index uint64, size int64) {
	if s.empty() {
		*s = span{first: index, ends: s.ends[:0]}
	}
	s.ends = append(s.ends, s.end(s.last())+size)
}

// follow appends an entry that may take the place of others: those from its index
// on are gone.
func (s *span) follow(index uint64, size int64) {
	switch {
	case index <= s.last():
		s.dropFrom(index)
	case index > s.last()+1:
		*s = span{}
	}
	s.add(index, size)
}

// keep removes what is outside first to last; zeros mean everything.
func (s *span) keep(first, last uint64) {
	if first == 0 {
		*s = span{}
		return
	}
	s.dropFrom(last + 1)
	s.dropThrough(first - 1)
}

// dropThrough removes the entries up to and including index.
func (s *span) dropThrough(index uint64) {
	if s.empty() || index < s.first {
		return
	}
	if index >= s.last() {
		*s = span{}
		return
	}
	s.base = s.end(index)
	s.ends = s.ends[index-s.first+1:]
	s.first = index + 1
}

// dropFrom removes the entries from index on.
func (s *span) dropFrom(index uint64) {
	switch {
	case s.empty() || index > s.last():
	case index <= s.first:
		*s = span{}
	default:
		s.ends = s.ends[:index-s.first]
	}
}

// since returns the bytes of the entries after index.
func (s *span) since(index uint64) int64 { return s.end(s.last()) - s.end(index) }

// tail returns the smallest index from which on the entries together have at
// most n bytes; the index after the last when even that one is larger.
func (s *span) tail(n int64) uint64 {
	if s.empty() {
		return 0
	}
	limit := s.end(s.last()) - n
	if s.base >= limit {
		return s.first
	}
	i := sort.Search(len(s.ends), func(i int) bool { return s.ends[i] >= limit })
	return s.first + uint64(i) + 1
}
