package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// FeatureLevel returns the level of this node's table: no leader writes commands or
// fields above it.
func (n *Node) FeatureLevel() uint32 {
	n.table.mu.RLock()
	defer n.table.mu.RUnlock()
	return uint32(n.table.m.FeatureLevel())
}

// Finalize raises the table's feature level, for good: from then on no older version
// reads the log. With dryRun it only says whether it could. Every member is asked for
// its version now, and its record, by which the table decides, is brought in step
// first. The present level is accepted again. Errors: *NotLeaderError, ErrUncertain,
// ErrChangeUnderWay, ErrLevel, and those of Propose.
func (n *Node) Finalize(ctx context.Context, level uint32, dryRun bool) error {
	return n.change(func(*member) error {
		now := n.FeatureLevel()
		switch {
		case level == now:
			return nil
		case level < now:
			return fmt.Errorf("%w to %d: it is at %d and never goes down", ErrLevel, level, now)
		}
		if err := n.supported(ctx, level); err != nil || dryRun {
			return err
		}
		n.recordAll(ctx)
		res, _, err := n.Propose(ctx, &fsmpb.Command{
			Principal: "master:" + n.cfg.Name, Kind: &fsmpb.Command_Finalize{Finalize: &fsmpb.Finalize{Level: level}},
		})
		switch {
		case err != nil:
			return fmt.Errorf("raise the feature level: %w", err)
		case res.Outcome != fsm.Accepted:
			return fmt.Errorf("%w to %d: not every member's record says that it knows that level yet: try again", ErrLevel, level)
		}
		n.log.Info("feature level raised", slog.Uint64("level", uint64(level)))
		return nil
	})
}

// supported asks every member now, and returns ErrLevel with the names of those that
// do not say that they know a feature level.
func (n *Node) supported(ctx context.Context, level uint32) error {
	start := time.Now()
	n.peers.round(ctx, heirTimeout)
	var silent, old []string
	for _, s := range n.peers.servers() {
		about := n.about()
		if s.ID != n.peers.self {
			seen, ok := n.peers.of(s.ID)
			if !ok || seen.at.Before(start) {
				silent = append(silent, memberName(s.ID))
				continue
			}
			about = seen.about
		}
		if about.Level < level {
			old = append(old, fmt.Sprintf("%s runs version %s, which knows level %d", about.Name, about.Version, about.Level))
		}
	}
	switch {
	case len(old) > 0:
		return fmt.Errorf("%w to %d: %s: upgrade first", ErrLevel, level, strings.Join(old, ", "))
	case len(silent) > 0:
		return fmt.Errorf("%w to %d: no answer from %s: start it, or remove it first", ErrLevel, level, strings.Join(silent, ", "))
	}
	return nil
}
