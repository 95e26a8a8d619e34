package fsm

// maxShared bounds the different options that a queue keeps to be shared.
const maxShared = 256

// shared has the options of a queue's tasks that are alike stand in memory once:
// a backlog usually has few kinds. The same goes for traces. It is no part of the
// table: forgetting it changes nothing but memory.
type shared struct {
	last *Options
	all  map[Options]*Options // from the second on

	trace *Trace // the last one
}

// share returns options equal to o.
func (l *line) share(o Options) *Options {
	s := &l.shared
	if s.last != nil && *s.last == o {
		return s.last
	}
	known := s.all[o]
	if known == nil {
		if s.all == nil || len(s.all) >= maxShared {
			s.all = make(map[Options]*Options)
		}
		c := o // only what is new goes to the heap
		known = &c
		s.all[o] = known
	}
	s.last = known
	return known
}
