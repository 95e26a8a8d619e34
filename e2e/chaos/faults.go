package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/taskraft/taskraft/internal/checker"
	"github.com/taskraft/taskraft/internal/proc"
)

// processKinds are faults of processes, and of what a log says.
var processKinds = []kind{
	{name: "kill leader", do: killLeader},
	{name: "kill follower", do: killFollower},
	{name: "kill all masters", do: killAll},
	{name: "stop leader", do: stopLeader},
	{name: "freeze leader", do: freezeLeader(bySignal)},
	{name: "freeze leader by cgroup", do: freezeLeader(byCgroup), needs: needsCgroup},
	{name: "freeze follower", do: freezeFollower},
	{name: "kill worker", do: killWorker, worker: true},
	{name: "lose worker", do: loseWorker, worker: true},
	{name: "freeze worker", do: freezeWorker(bySignal), worker: true},
	{name: "freeze worker and its programs", do: freezeWorker(byCgroup), worker: true, needs: needsCgroup},
	{name: "flip a bit", do: flipBit},
	{name: "truncate log", do: truncateLog},
	{name: "flip a bit of a snapshot", do: flipSnapshotBit},
}

func killLeader(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	return endLeader(ctx, n, f, (*proc.Master).Kill)
}

func stopLeader(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	return endLeader(ctx, n, f, (*proc.Master).Stop)
}

func endLeader(ctx context.Context, n *hand, f *checker.Fault, end func(*proc.Master) error) (string, error) {
	m, term, err := n.leader(ctx, f)
	if err != nil {
		return "", err
	}
	if err := end(m); err != nil {
		return "", err
	}
	effect, err := n.deposed(ctx, m, term)
	return effect, errors.Join(err, n.back(ctx, m))
}

func killFollower(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	m, err := n.follower(ctx, f)
	if err != nil {
		return "", err
	}
	if err := m.Kill(); err != nil {
		return "", err
	}
	effect := m.Process().Exit()
	return effect, errors.Join(pass(ctx, n.between(0.1, 2)), n.back(ctx, m))
}

func killAll(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	f.Target = "all"
	for _, m := range n.stage.cluster.Masters() { // all signals first, then all funerals
		if err := m.Process().Signal(syscall.SIGKILL); err != nil {
			return "", err
		}
	}
	for _, m := range n.stage.cluster.Masters() {
		<-m.Process().Done()
	}
	began := time.Now()
	if err := n.stage.cluster.Start(); err != nil {
		return "", err
	}
	_, err := n.stage.cluster.Leader(ctx)
	return fmt.Sprintf("a leader serves %d ms after the start", time.Since(began).Milliseconds()), err
}

func freezeLeader(freeze freezing) fault {
	return func(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
		m, term, err := n.leader(ctx, f)
		if err != nil {
			return "", err
		}
		thaw, err := freeze(ctx, n.stage, m.Process())
		if err != nil {
			return "", err
		}
		effect, err := n.deposed(ctx, m, term)
		err = errors.Join(err, pass(ctx, n.between(0, 3)), thaw())
		return effect, errors.Join(err, n.stage.cluster.Rejoined(ctx, m))
	}
}

func freezeFollower(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	m, err := n.follower(ctx, f)
	if err != nil {
		return "", err
	}
	thaw, err := bySignal(ctx, n.stage, m.Process())
	if err != nil {
		return "", err
	}
	err = pass(ctx, n.between(1, 4))
	effect := ""
	if _, deaf := m.Status(ctx); deaf != nil {
		effect = "it did not answer"
	}
	return effect, errors.Join(err, thaw(), n.stage.cluster.Rejoined(ctx, m))
}

// anyWorker returns the place of one of the workers. One that has ended by itself, as
// when its predecessor's connection was still thought to live, is started again first.
func (n *hand) anyWorker(f *checker.Fault) (int, error) {
	i := n.rng.IntN(len(n.stage.workers))
	w := n.stage.workers[i]
	f.Target = w.ID
	if w.Running() {
		return i, nil
	}
	again, err := n.stage.worker(w.ID)
	if err == nil {
		n.stage.workers[i] = again
	}
	return i, err
}

// killWorker kills a worker's process; the next one of that id takes over at once.
func killWorker(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	return n.replaceWorker(ctx, f, 0)
}

// loseWorker kills a worker's process, and the next one comes after its session has
// expired.
func loseWorker(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	return n.replaceWorker(ctx, f, 11*time.Second)
}

func (n *hand) replaceWorker(ctx context.Context, f *checker.Fault, after time.Duration) (effect string, err error) {
	i, err := n.anyWorker(f)
	if err != nil {
		return "", err
	}
	w := n.stage.workers[i]
	if err := w.Kill(); err != nil {
		return "", err
	}
	effect = w.Exit()
	if err := pass(ctx, after); err != nil {
		return effect, err
	}
	again, err := n.stage.worker(w.ID)
	if err == nil {
		n.stage.workers[i] = again
	}
	return effect, err
}

// freezeWorker stops a worker for longer than its session lives.
func freezeWorker(freeze freezing) fault {
	return func(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
		i, err := n.anyWorker(f)
		if err != nil {
			return "", err
		}
		thaw, err := freeze(ctx, n.stage, n.stage.workers[i].Process)
		if err != nil {
			return "", err
		}
		err = pass(ctx, n.between(11, 13))
		return "it was silent for longer than its TTL", errors.Join(err, thaw(), pass(ctx, time.Second))
	}
}
