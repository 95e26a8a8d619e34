package events

// Filter chooses events: what is empty matches all.
type Filter struct {
	Task   uint64
	Queue  string
	Worker string
	Batch  uint64
	Types  uint64 // a set of bits: 1 << Type
}

// Want adds a type.
func (f *Filter) Want(t Type) { f.Types |= 1 << t }

// Matches reports whether an event is wanted.
func (f *Filter) Matches(e *Event) bool {
	return (f.Task == 0 || f.Task == e.Task) && (f.Types == 0 || f.Types&(1<<e.Type) != 0) &&
		(f.Queue == "" || f.Queue == e.Queue) && (f.Worker == "" || f.Worker == e.Worker) && (f.Batch == 0 || f.Batch == e.Batch)
}
