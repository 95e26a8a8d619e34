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

// nemesis does one fault after the other and notes each with its effect.
type nemesis struct {
	stage *stage
	rng   *rand.Rand
	kinds []kind

	mu     sync.Mutex
	faults []checker.Fault
}

// kind is a kind of fault. do returns how it was seen to take effect, and does not
// return before the fault is over; target is set at once.
type kind struct {
	name string
	do   func(context.Context, *nemesis, *checker.Fault) (effect string, err error)
}

var allKinds = []kind{
	{"kill leader", killLeader},
	{"kill follower", killFollower},
	{"kill all masters", killAll},
	{"stop leader", stopLeader},
	{"freeze leader", freezeLeader},
	{"freeze follower", freezeFollower},
	{"kill worker", killWorker},
	{"lose worker", loseWorker},
	{"freeze worker", freezeWorker},
	{"cut leader off", cutLeader},
	{"cut follower off", cutFollower},
	{"slow links", slowLinks},
	{"flip a bit", flipBit},
	{"truncate log", truncateLog},
}

func newNemesis(s *stage, seed uint64, only []string) *nemesis {
	n := &nemesis{stage: s, rng: rand.New(rand.NewPCG(seed, 1))}
	for _, k := range allKinds {
		if len(only) == 0 || slices.Contains(only, k.name) {
			n.kinds = append(n.kinds, k)
		}
	}
	return n
}

// faultLimit bounds one fault with its healing.
const faultLimit = time.Minute

// run does every kind once, in an order of its own, and then again, until the time
// is over; a kind that was begun is finished.
func (n *nemesis) run(ctx context.Context, length time.Duration) error {
	until := time.Now().Add(length)
	for {
		for _, i := range n.rng.Perm(len(n.kinds)) {
			if err := pass(ctx, time.Duration(500+n.rng.IntN(1500))*time.Millisecond); err != nil {
				return err
			}
			if time.Now().After(until) {
				return nil
			}
			if err := n.one(ctx, n.kinds[i]); err != nil {
				return err
			}
		}
	}
}

func (n *nemesis) one(ctx context.Context, k kind) error {
	ctx, cancel := context.WithTimeoutCause(ctx, faultLimit, fmt.Errorf("%s: not over within %v", k.name, faultLimit))
	defer cancel()
	f := checker.Fault{Kind: k.name, Start: time.Now().UnixNano()}
	effect, err := k.do(ctx, n, &f)
	f.End, f.Effect = time.Now().UnixNano(), effect
	n.mu.Lock()
	n.faults = append(n.faults, f)
	n.mu.Unlock()
	fmt.Printf("chaos: %-18s %-4s %5.1f s  %s\n", f.Kind, f.Target, time.Duration(f.End-f.Start).Seconds(), effect)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", k.name, f.Target, err)
	}
	return nil
}

func (n *nemesis) save() error {
	return save(filepath.Join(n.stage.dir, "nemesis.jsonl"), n.faults)
}

// between returns a time from least to most seconds.
func (n *nemesis) between(least, most float64) time.Duration {
	return time.Duration((least + n.rng.Float64()*(most-least)) * float64(time.Second))
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
	m, err := n.stage.cluster.Leader(ctx)
	if err != nil {
		return nil, 0, err
	}
	f.Target = m.Name
	s, err := m.Status(ctx)
	return m, s.GetTerm(), err
}

func (n *nemesis) follower(ctx context.Context, f *checker.Fault) (*proc.Master, error) {
	followers, err := n.stage.cluster.Followers(ctx)
	if err != nil {
		return nil, err
	}
	if len(followers) == 0 {
		return nil, errors.New("no follower runs")
	}
	m := followers[n.rng.IntN(len(followers))]
	f.Target = m.Name
	return m, nil
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
