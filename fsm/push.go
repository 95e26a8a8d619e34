package fsm

import (
	"iter"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Push is an address at which a worker serves: the leader dials it. Frozen.
type Push struct {
	Addr    string
	Worker  string // whom a leader found there last; empty: nobody yet
	Fixed   bool   // an operator added it: only an operator removes it
	AddedAt int64
}

// setPush adds an address to the list or removes it. What an operator added stays
// when the worker registers itself, or says goodbye.
func (m *Machine) setPush(c *fsmpb.SetPush) Result {
	old, ok := m.pushes.Get(c.GetAddr())
	switch {
	case c.GetRemove() && !ok:
		return Result{Outcome: NoWorker}
	case c.GetRemove():
		m.removePush(old.Addr)
		return Result{Outcome: Accepted}
	case ok && (old.Fixed || !c.GetFixed()):
		return Result{Outcome: Duplicate}
	case !ok && m.pushes.Len() >= MaxPushes:
		return Result{Outcome: PushesFull}
	}
	p := Push{Addr: c.GetAddr(), Fixed: c.GetFixed(), AddedAt: m.now}
	if ok {
		p.Worker, p.AddedAt = old.Worker, old.AddedAt
	}
	m.pushes.Set(p.Addr, &p)
	m.emit(Event{Kind: PushChanged, Name: p.Addr})
	return Result{Outcome: Accepted}
}

func (m *Machine) removePush(addr string) {
	m.pushes.Delete(addr)
	m.emit(Event{Kind: PushChanged, Name: addr})
}

// foundAt notes which worker a leader found at an address.
func (m *Machine) foundAt(s *session) {
	if p, ok := m.pushes.Get(s.rec.Push); ok && p.Worker != s.rec.Worker {
		c := *p
		c.Worker = s.rec.Worker
		m.pushes.Set(c.Addr, &c)
	}
}

// unregister takes the addresses off the list that a worker registered by itself;
// with fixed those that an operator added, too.
func (m *Machine) unregister(worker string, fixed bool) (any bool) {
	var gone []string
	m.pushes.Scan(func(addr string, p *Push) bool {
		if (p.Worker == worker || addr == worker) && (fixed || !p.Fixed) {
			gone = append(gone, addr)
		}
		return true
	})
	for _, addr := range gone {
		m.removePush(addr)
	}
	return len(gone) > 0
}

// Pushes yields the addresses that the leader dials, in their order.
func (m *Machine) Pushes() iter.Seq[*Push] {
	return func(yield func(*Push) bool) {
		m.pushes.Scan(func(_ string, p *Push) bool { return yield(p) })
	}
}
