package clustersim

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// witnesses are two clients with nothing else to do than to look at a leader that
// looks dead to the other masters and is not. They elect at once, while it believes
// in its lease for some hundred milliseconds more. One client submits to whoever leads
// then; the other asks the old leader, which must not answer from what it has (S12).
type witnesses struct {
	ctx            context.Context
	writer, reader *submitter
	stubborn       []*submitter // write to the old leader, whatever it says
	busy           *atomic.Bool
}

const (
	// firstWitness numbers them far behind other submitters.
	firstWitness = 50
	// witnessed is for how long they look.
	witnessed = 1500 * time.Millisecond
)

func newWitnesses(ctx context.Context, w *world) witnesses {
	s := witnesses{ctx: ctx, writer: newSubmitter(w, firstWitness), reader: newSubmitter(w, firstWitness+1), busy: new(atomic.Bool)}
	s.writer.patience = 20 * time.Millisecond
	for i := range 2 {
		c := newSubmitter(w, firstWitness+2+i)
		c.patience = time.Millisecond
		s.stubborn = append(s.stubborn, c)
	}
	return s
}

// look has them look at a leader, unless they look at one already.
func (s witnesses) look(m *master) {
	if !s.busy.CompareAndSwap(false, true) {
		return
	}
	until := time.Now().Add(witnessed)
	writing := make(chan struct{})
	m.asking.Go(func() {
		defer close(writing)
		w := s.writer
		w.shunned, w.shunnedUntil = m.i, until
		for w.next(nil); time.Now().Before(until) && sleep(s.ctx, w.chance(w.rng, 100*time.Millisecond)) == nil; {
			w.submit(s.ctx)
		}
	})
	m.asking.Go(func() {
		defer s.busy.Store(false)
		for time.Now().Before(until) && sleep(s.ctx, s.reader.chance(s.reader.rng, 20*time.Millisecond)) == nil {
			s.ask(m)
		}
		<-writing
	})
}

// ask reads from the old leader, and notes whether it did not know that it is one.
func (s witnesses) ask(m *master) {
	for _, o := range m.masters {
		if o != m && o.leads() && m.leads() {
			m.met("leader asked that was deposed unawares")
		}
	}
	s.reader.leader = m.i
	s.reader.get(s.ctx)
}

// insisting is for how long after it is back an old leader is written to: its successor
// reaches it again within that time.
const insisting = 150 * time.Millisecond

// insist has the stubborn ones write to a leader when it is back after d.
func (s witnesses) insist(m *master, d time.Duration) {
	if !s.busy.CompareAndSwap(false, true) {
		return
	}
	until := time.Now().Add(d + insisting)
	var writing sync.WaitGroup
	for _, c := range s.stubborn {
		writing.Go(func() {
			c.leader, c.stubborn = m.i, until
			for wait := d; time.Now().Before(until) && sleep(s.ctx, wait) == nil; wait = c.chance(c.rng, 10*time.Millisecond) {
				c.submit(s.ctx)
			}
		})
	}
	m.asking.Go(func() {
		defer s.busy.Store(false)
		writing.Wait()
	})
}
