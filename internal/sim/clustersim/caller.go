package clustersim

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/taskraft/taskraft/cluster"
)

// caller is who calls masters, as a client of their API does: what it sends may be
// lost or arrive twice, and so may what it is answered.
type caller struct {
	*world
	name   string
	rng    *rand.Rand
	apart  atomic.Uint64 // bit i: it does not reach master i
	leader int           // believed to lead
	host   *host         // of a program, whose calls go through the network; or nil

	shunned      int // the master that it does not turn to before a time
	shunnedUntil time.Time
	stubborn     time.Time // it turns to nobody else before
}

const (
	callTimeout = 2 * time.Second
	ttl         = 10 * time.Second
)

var (
	errDown = errors.New("connection refused") // certainly not carried out
	errLost = errors.New("no answer")
)

func newCaller(w *world, name string, seed uint64) *caller {
	return &caller{world: w, name: name, rng: w.random(seed)}
}

// roll is a chance of faults, which calm ends.
func (c *caller) roll(p float64) bool { return c.rng.Float64() < p && !c.calm.Load() }

// reaches reports whether there is a way to a master.
func (c *caller) reaches(i int) bool { return c.apart.Load()&(1<<i) == 0 }

// separate leaves it with the masters whose bits are not set.
func (c *caller) separate(from uint64) {
	c.apart.Store(from)
	if c.host == nil {
		return
	}
	for i, m := range c.masters {
		cut := func(l *link) { l.cut = from&(1<<i) != 0 }
		c.net.change(c.host, m.api, cut)
		c.net.change(m.api, c.host, cut)
	}
}

// trip is the way of one message.
func (c *caller) trip(ctx context.Context, i int) error {
	if !c.reaches(i) || c.roll(c.swarm.callLost) {
		c.met("call lost")
		<-ctx.Done()
		return errLost
	}
	return sleep(ctx, c.swarm.latency+c.chance(c.rng, c.swarm.jitter))
}

// call has f done by master i.
func call[T any](ctx context.Context, c *caller, i int, f func(context.Context, *cluster.Node) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var none T
	if err := c.trip(ctx, i); err != nil {
		return none, err
	}
	n, dead := c.masters[i].up()
	if n == nil {
		return none, errDown
	}
	if c.roll(c.swarm.callTwice) {
		c.met("call doubled")
		late := c.chance(c.rng, 3*time.Second)
		c.wg.Go(func() {
			again, cancel := context.WithTimeout(context.Background(), late+callTimeout)
			defer cancel()
			if sleep(again, late) == nil {
				_, _ = f(again, n)
			}
		})
	}
	v, err := f(ctx, n)
	select {
	case <-dead:
		return none, errLost
	default:
	}
	if lost := c.trip(ctx, i); lost != nil {
		return none, lost
	}
	return v, err
}

// next turns to another master after a call that failed.
func (c *caller) next(err error) {
	if time.Now().Before(c.stubborn) {
		return
	}
	if moved, ok := errors.AsType[*cluster.NotLeaderError](err); ok && moved.Leader.Name != "" {
		for i := range c.masters {
			if name(i) == moved.Leader.Name && !c.shuns(i) {
				c.leader = i
				return
			}
		}
	}
	for c.leader = c.rng.IntN(len(c.masters)); c.shuns(c.leader); {
		c.leader = c.rng.IntN(len(c.masters))
	}
}

// shuns reports whether it does not turn to master i.
func (c *caller) shuns(i int) bool { return i == c.shunned && time.Now().Before(c.shunnedUntil) }

// sleep waits d, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
