package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/checker"
	"github.com/taskraft/taskraft/internal/proc"
)

// memberKinds are what operators do, clocks, and absence.
var memberKinds = []kind{
	{name: "rolling restart", do: rollingRestart},
	{name: "replace a member", do: replaceMember},
	{name: "away until a snapshot", do: awayUntilSnapshot, long: true},
	{name: "clock of leader jumps", do: clockOfLeader},
	{name: "clock of follower jumps", do: clockOfFollower},
}

// rollingRestart stops and starts every master, the leader among them.
func rollingRestart(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	f.Target = "all"
	began := time.Now()
	for _, m := range h.stage.cluster.Masters() {
		if err := m.Stop(); err != nil {
			return "", err
		}
		if err := h.back(ctx, m); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("all three restarted within %d ms", time.Since(began).Milliseconds()), nil
}

// replaceMember has a master lose its disk and enter the cluster again as another.
func replaceMember(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	m, err := h.anyMaster(ctx, f)
	if err != nil {
		return "", err
	}
	if err := m.Kill(); err != nil {
		return "", err
	}
	if err := h.stage.wipe(m); err != nil {
		return "", err
	}
	began := time.Now()
	if err := m.Start(); err != nil {
		return "", err
	}
	cl, err := client.New(client.Config{Masters: h.stage.cluster.Addrs()})
	if err != nil {
		return "", err
	}
	defer cl.Close()
	err = proc.Poll(ctx, 50*time.Millisecond, m.Name+" is a voter again", func() bool {
		members, err := cl.Members(ctx)
		if err != nil {
			return false
		}
		for _, x := range members {
			if x.GetName() == m.Name {
				s, err := m.Status(ctx)
				return err == nil && x.GetVoter() && s.GetAppliedIndex() > 0
			}
		}
		return false
	})
	err = errors.Join(err, h.stage.cluster.Rejoined(ctx, m))
	return fmt.Sprintf("its disk was lost, and it votes again after %d ms", time.Since(began).Milliseconds()), err
}

// restored is what a master logs when it has got a snapshot.
var restored = regexp.MustCompile(`table restored from a snapshot.* index=(\d+)`)

// awayUntilSnapshot keeps a follower away until the others do not have its next entry
// any more, kills it while it is sent the snapshot, and has it get that at last.
func awayUntilSnapshot(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	m, err := h.follower(ctx, f)
	if err != nil {
		return "", err
	}
	before, err := m.Status(ctx)
	if err != nil {
		return "", err
	}
	if err := m.Kill(); err != nil {
		return "", err
	}
	if err := h.outrun(ctx); err != nil {
		return "", err
	}
	for range 2 {
		if err := m.Start(); err != nil {
			return "", err
		}
		if err := pass(ctx, h.between(0.05, 0.6)); err != nil {
			return "", err
		}
		if err := m.Kill(); err != nil {
			return "", err
		}
	}
	if err := h.back(ctx, m); err != nil {
		return "", err
	}
	text, err := h.log(m)
	if err != nil {
		return "", err
	}
	for _, line := range restored.FindAllSubmatch(text, -1) {
		if index, err := strconv.ParseUint(string(line[1]), 10, 64); err == nil && index > before.GetAppliedIndex() {
			return fmt.Sprintf("at entry %d it was sent the snapshot of entry %d, killed twice meanwhile", before.GetAppliedIndex(), index), nil
		}
	}
	return "", nil
}

// outrun has the log grow until the leader's newest snapshot is by more than the tail
// that is kept behind it ahead of where the log is now.
func (h *hand) outrun(ctx context.Context) error {
	h.crowd.ballast.Store(ballast)
	defer h.crowd.ballast.Store(0)
	began := time.Now()
	var passed uint64
	return proc.Poll(ctx, 100*time.Millisecond, "the others have dropped what it needs", func() bool {
		leader, err := h.stage.cluster.Leader(ctx)
		if err != nil {
			return false
		}
		s, err := leader.Status(ctx)
		if err != nil {
			return false
		}
		if _, changes := h.crowd.told("", began, time.Now()); passed == 0 && changes*ballast > 3*tailBytes {
			passed = s.GetLastIndex()
		}
		return passed > 0 && s.GetSnapshotIndex() >= passed
	})
}

// offsets are how wrong a clock may be, but for the sign.
var offsets = []time.Duration{time.Minute, 288 * time.Second, 365 * 24 * time.Hour, 50 * 365 * 24 * time.Hour}

func clockOfLeader(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	m, _, err := h.leader(ctx, f)
	if err != nil {
		return "", err
	}
	return h.clockJumps(ctx, m)
}

func clockOfFollower(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	m, err := h.follower(ctx, f)
	if err != nil {
		return "", err
	}
	return h.clockJumps(ctx, m)
}

// clockJumps makes a master's clock wrong until it says so, and, half of the time,
// has another leader elected meanwhile. No lease may end early for it, and nothing
// that waits for a time may start before.
func (h *hand) clockJumps(ctx context.Context, m *proc.Master) (string, error) {
	wrong := offsets[h.rng.IntN(len(offsets))]
	if h.rng.IntN(2) == 0 {
		wrong = -wrong
	}
	path := filepath.Join(h.stage.dir, fmt.Sprintf("clock-%d", m.Process().PID()))
	if err := os.WriteFile(path, []byte(wrong.String()), 0o600); err != nil {
		return "", err
	}
	err := h.alarmed(ctx, m, "CLOCK_SKEW")
	effect := fmt.Sprintf("wrong by %v: it says CLOCK_SKEW", wrong)
	if err == nil && h.rng.IntN(2) == 0 {
		var leader *proc.Master
		leader, err = h.stage.cluster.Leader(ctx)
		if err == nil {
			err = errors.Join(leader.Kill(), h.back(ctx, leader))
			effect += "; an election meanwhile"
		}
	}
	err = errors.Join(err, pass(ctx, h.between(0, 2)), os.Remove(path))
	return effect, errors.Join(err, h.stage.cluster.Rejoined(ctx, m))
}
