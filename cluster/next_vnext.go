//go:build vnext

package cluster

import (
	"context"
	"log/slog"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// describe sets the field that level 2 has added to a member's record, and keeps what
// Led has written there.
func (n *Node) describe(m *fsmpb.SetMember, of about) {
	if n.FeatureLevel() < fsm.Level {
		return
	}
	m.Version, m.LedTerm = of.Version, n.record(m.GetName()).GetLedTerm()
}

// noteLed writes the command that level 2 has added, once in each term that this node
// leads.
func (n *Node) noteLed(ctx context.Context) {
	l, _ := n.leader.get()
	r := n.record(n.cfg.Name)
	if !l.Self || r == nil || r.GetLedTerm() >= l.Term || n.FeatureLevel() < fsm.Level {
		return
	}
	led := &fsmpb.Led{Name: n.cfg.Name, Term: l.Term}
	if n.recordOne(ctx, n.cfg.Name, &fsmpb.Command{Kind: &fsmpb.Command_Led{Led: led}}) {
		n.log.Info("leadership noted", slog.Uint64("term", l.Term))
	}
}
