package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskraft/taskraft/internal/checker"
	"github.com/taskraft/taskraft/internal/proc"
)

// networkKinds are faults of what connects masters and clients.
var networkKinds = []kind{
	{name: "cut leader off", do: cutLeader},
	{name: "cut leader off with clients", do: cutLeaderWithClients},
	{name: "leader is not heard", do: leaderNotHeard},
	{name: "leader does not hear", do: leaderDoesNotHear},
	{name: "cut follower off", do: cutFollower},
	{name: "follower is not heard", do: followerNotHeard},
	{name: "cut every master off", do: cutAll},
	{name: "slow links", do: slowLinks, needs: needsDelay},
	{name: "lossy links", do: lossyLinks, needs: needsDelay},
}

func cutLeader(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	return h.loseLeader(ctx, f, func(m *proc.Master) error {
		return part(h.stage.net, []string{m.Name}, h.others(m))
	})
}

// leaderNotHeard: followers stand for election; their votes and heartbeats reach the
// old leader, its answers do not reach them.
func leaderNotHeard(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	return h.loseLeader(ctx, f, func(m *proc.Master) error {
		return h.stage.net.block([]string{m.Name}, h.others(m))
	})
}

// leaderDoesNotHear: it must step down, for nobody confirms what it sends.
func leaderDoesNotHear(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	return h.loseLeader(ctx, f, func(m *proc.Master) error {
		return h.stage.net.block(h.others(m), []string{m.Name})
	})
}

// loseLeader cuts the leader off in some way until another has led for a while.
func (h *hand) loseLeader(ctx context.Context, f *checker.Fault, cut func(*proc.Master) error) (string, error) {
	m, term, err := h.leader(ctx, f)
	if err != nil {
		return "", err
	}
	if err := cut(m); err != nil {
		return "", err
	}
	effect, err := h.deposed(ctx, m, term)
	err = errors.Join(err, pass(ctx, h.between(0, 3)), h.stage.net.heal())
	return effect, errors.Join(err, h.stage.cluster.Rejoined(ctx, m))
}

// grace is how long a leader that lost its followers may still answer what came in
// before, and how long a lease lasts, generously.
const grace = 1500 * time.Millisecond

// cutLeaderWithClients leaves half of the clients and workers on the old leader's
// side. They go on writing to it, until it is healed and after (F10, F45): nothing
// may be acknowledged there.
func cutLeaderWithClients(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	m, term, err := h.leader(ctx, f)
	if err != nil {
		return "", err
	}
	began := time.Now()
	if err := part(h.stage.net, []string{m.Name, side}, append(h.others(m), here)); err != nil {
		return "", err
	}
	effect, err := h.deposed(ctx, m, term)
	err = errors.Join(err, pass(ctx, grace+h.between(1, 3)))
	calls, changes := h.crowd.told(side, began.Add(grace), time.Now())
	if err = errors.Join(err, h.stage.net.heal()); err != nil {
		return effect, err
	}
	switch {
	case changes > 0:
		return effect, fmt.Errorf("%d of %d calls on the side of the old leader were acknowledged (L3)", changes, calls)
	case calls == 0:
		return "", h.stage.cluster.Rejoined(ctx, m)
	}
	return fmt.Sprintf("%s; %d calls on the other side, none acknowledged", effect, calls), h.stage.cluster.Rejoined(ctx, m)
}

func cutFollower(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	return h.loseFollower(ctx, f, func(m *proc.Master) error {
		return part(h.stage.net, []string{m.Name}, h.others(m))
	})
}

// followerNotHeard: it gets what is sent and nobody learns of it.
func followerNotHeard(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	return h.loseFollower(ctx, f, func(m *proc.Master) error {
		return h.stage.net.block([]string{m.Name}, h.others(m))
	})
}

func (h *hand) loseFollower(ctx context.Context, f *checker.Fault, cut func(*proc.Master) error) (string, error) {
	m, err := h.follower(ctx, f)
	if err != nil {
		return "", err
	}
	if err := cut(m); err != nil {
		return "", err
	}
	err = pass(ctx, h.between(1, 4))
	effect := h.behind(ctx, m)
	err = errors.Join(err, h.stage.net.heal())
	return effect, errors.Join(err, h.stage.cluster.Rejoined(ctx, m))
}

// behind says how far a master is behind the leader, "" if it is not.
func (n *nemesis) behind(ctx context.Context, m *proc.Master) string {
	leader, err := n.stage.cluster.Leader(ctx)
	if err != nil {
		return ""
	}
	have, err := m.Status(ctx)
	if err != nil {
		return ""
	}
	want, err := leader.Status(ctx)
	if err != nil || want.GetAppliedIndex() <= have.GetAppliedIndex() {
		return ""
	}
	return fmt.Sprintf("it was %d entries behind", want.GetAppliedIndex()-have.GetAppliedIndex())
}

// cutAll leaves nobody with a majority: all clients reach all masters, and none of
// these may acknowledge anything (F11).
func cutAll(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	f.Target = "all"
	began := time.Now()
	for _, m := range h.stage.cluster.Masters() {
		if err := h.stage.net.block([]string{m.Name}, h.others(m)); err != nil {
			return "", err
		}
	}
	err := h.stage.cluster.Leaderless(ctx)
	alone := time.Since(began)
	err = errors.Join(err, pass(ctx, grace+h.between(1, 3)))
	calls, changes := h.crowd.told("", began.Add(grace), time.Now())
	if err = errors.Join(err, h.stage.net.heal()); err != nil {
		return "", err
	}
	if changes > 0 {
		return "", fmt.Errorf("%d of %d calls were acknowledged without a majority (L3)", changes, calls)
	}
	healed := time.Now()
	if _, err := h.stage.cluster.Leader(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("nobody led after %d ms, %d calls, none acknowledged; a leader %d ms after the heal",
		alone.Milliseconds(), calls, time.Since(healed).Milliseconds()), nil
}

func slowLinks(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	return h.badLinks(ctx, f, h.between(0.005, 0.06), 0)
}

func lossyLinks(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	return h.badLinks(ctx, f, 2*time.Millisecond, 0.05+0.1*h.rng.Float64())
}

// badLinks makes links bad; the effect is how long a change then takes.
func (h *hand) badLinks(ctx context.Context, f *checker.Fault, delay time.Duration, loss float64) (string, error) {
	f.Target = "all"
	if err := h.stage.net.slow(delay, loss); err != nil {
		return "", err
	}
	began := time.Now()
	err := pass(ctx, h.between(2, 5))
	if err = errors.Join(err, h.stage.net.heal()); err != nil {
		return "", err
	}
	calls, changes := h.crowd.told("", began, time.Now())
	return fmt.Sprintf("%d ms and %.0f %% loss: %d calls, %d changes acknowledged", delay.Milliseconds(), 100*loss, calls, changes), nil
}
