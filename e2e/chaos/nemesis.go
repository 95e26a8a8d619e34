package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/taskraft/taskraft/internal/checker"
	"github.com/taskraft/taskraft/internal/proc"
)

// nemesis does one fault to the masters after the other, and beside them one to the
// workers after the other, and notes each with its effect.
type nemesis struct {
	stage *stage
	crowd *crowd

	mu     sync.Mutex
	faults []checker.Fault
}

// hand does the faults of one class.
type hand struct {
	*nemesis
	rng   *rand.Rand
	kinds []kind
}

// fault returns how it was seen to take effect, and does not return before it is over;
// its target is set at once.
type fault func(ctx context.Context, n *hand, f *checker.Fault) (effect string, err error)

// kind is a kind of fault.
type kind struct {
	name   string
	do     fault
	needs  string // what not every stage has
	worker bool   // done to workers, beside those done to masters
	long   bool   // half a minute and more: only where it was asked for
}

var allKinds = slices.Concat(processKinds, networkKinds, diskKinds, memberKinds)

// newNemesis returns a nemesis of these kinds of faults, all but long ones if there
// are none, and its hands.
func newNemesis(s *stage, c *crowd, seed uint64, only []string, long bool) (*nemesis, []*hand) {
	n := &nemesis{stage: s, crowd: c}
	masters := &hand{nemesis: n, rng: rand.New(rand.NewPCG(seed, 1))}
	workers := &hand{nemesis: n, rng: rand.New(rand.NewPCG(seed, 2))}
	for _, k := range allKinds {
		h := masters
		if k.worker {
			h = workers
		}
		switch missing := s.missing[k.needs]; {
		case len(only) > 0 && !slices.Contains(only, k.name), len(only) == 0 && k.long && !long:
		case missing != "":
			fmt.Printf("chaos: %s: %s is SKIPPED: no %s: %s\n", s.label, k.name, k.needs, missing)
			n.faults = append(n.faults, checker.Fault{Kind: k.name, Skipped: missing})
		default:
			h.kinds = append(h.kinds, k)
		}
	}
	return n, []*hand{masters, workers}
}

// faultLimit bounds one fault with its healing.
const faultLimit = 90 * time.Second

// run does every kind once, in an order of its own, and then again, until the time
// is over; a kind that was begun is finished.
func (h *hand) run(ctx context.Context, length time.Duration) error {
	until := time.Now().Add(length)
	for len(h.kinds) > 0 {
		for _, i := range h.rng.Perm(len(h.kinds)) {
			if err := pass(ctx, time.Duration(200+h.rng.IntN(800))*time.Millisecond); err != nil {
				return err
			}
			if time.Now().After(until) {
				return nil
			}
			if err := h.one(ctx, h.kinds[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *hand) one(ctx context.Context, k kind) error {
	ctx, cancel := context.WithTimeoutCause(ctx, faultLimit, fmt.Errorf("%s: not over within %v", k.name, faultLimit))
	defer cancel()
	f := checker.Fault{Kind: k.name, Start: time.Now().UnixNano()}
	effect, err := k.do(ctx, h, &f)
	f.End, f.Effect = time.Now().UnixNano(), effect
	h.mu.Lock()
	h.faults = append(h.faults, f)
	h.mu.Unlock()
	fmt.Printf("chaos: %s: %-28s %-4s %5.1f s  %s\n", h.stage.label, f.Kind, f.Target, time.Duration(f.End-f.Start).Seconds(), effect)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", k.name, f.Target, err)
	}
	return nil
}

func (n *nemesis) save() error {
	return save(filepath.Join(n.stage.dir, "nemesis.jsonl"), n.faults)
}

// between returns a time from least to most seconds.
func (h *hand) between(least, most float64) time.Duration {
	return time.Duration((least + h.rng.Float64()*(most-least)) * float64(time.Second))
}

func pass(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// leader returns the leader and its term.
func (n *nemesis) leader(ctx context.Context, f *checker.Fault) (*proc.Master, uint64, error) {
	for {
		m, err := n.stage.cluster.Leader(ctx)
		if err != nil {
			return nil, 0, err
		}
		f.Target = m.Name
		if s, err := m.Status(ctx); err == nil && s.GetServing() {
			return m, s.GetTerm(), nil
		}
	}
}

// follower returns one of the followers.
func (h *hand) follower(ctx context.Context, f *checker.Fault) (*proc.Master, error) {
	followers, err := h.stage.cluster.Followers(ctx)
	if err != nil {
		return nil, err
	}
	if len(followers) == 0 {
		return nil, errors.New("no follower runs")
	}
	m := followers[h.rng.IntN(len(followers))]
	f.Target = m.Name
	return m, nil
}

// anyMaster returns the leader or a follower.
func (h *hand) anyMaster(ctx context.Context, f *checker.Fault) (*proc.Master, error) {
	if h.rng.IntN(2) == 0 {
		m, _, err := h.leader(ctx, f)
		return m, err
	}
	return h.follower(ctx, f)
}

// deposed waits until another master serves in a later term.
func (n *nemesis) deposed(ctx context.Context, old *proc.Master, term uint64) (string, error) {
	began := time.Now()
	heir, err := n.stage.cluster.NextLeader(ctx, old)
	if err != nil {
		return "", err
	}
	s, err := heir.Status(ctx)
	if err != nil || s.GetTerm() <= term {
		return "", err
	}
	return fmt.Sprintf("%s leads in term %d after term %d, within %d ms", heir.Name, s.GetTerm(), term, time.Since(began).Milliseconds()), nil
}

// back starts a master and waits until it has caught up.
func (n *nemesis) back(ctx context.Context, m *proc.Master) error {
	if err := m.Start(); err != nil {
		return err
	}
	return n.stage.cluster.Rejoined(ctx, m)
}

// others returns the names of all masters but one.
func (n *nemesis) others(m *proc.Master) []string {
	var names []string
	for _, o := range n.stage.cluster.Masters() {
		if o != m {
			names = append(names, o.Name)
		}
	}
	return names
}
