package fsm

import "bytes"

// Trace says which trace a task belongs to. The table carries it and never looks
// into it: what the bytes mean is between those who submit and those who observe.
type Trace struct {
	Parent []byte
	State  string
}

// traceOf returns what a spec or a record says, nil for nothing.
func traceOf(parent []byte, state string) *Trace {
	if len(parent) == 0 {
		return nil
	}
	return &Trace{parent, state}
}

// shareTrace has tasks that came with one call share their trace's memory.
func (l *line) shareTrace(x *Extra) {
	if x == nil || x.Trace == nil {
		return
	}
	if last := l.shared.trace; last != nil && last.State == x.Trace.State && bytes.Equal(last.Parent, x.Trace.Parent) {
		x.Trace = last
		return
	}
	l.shared.trace = x.Trace
}
