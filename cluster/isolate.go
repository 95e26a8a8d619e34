package cluster

import (
	"fmt"
	"log/slog"
	"time"
)

// A write that does not return holds up Raft's main loop, heartbeats and votes
// included, and the node cannot know what is on its disk. It leaves: everybody
// must see it as dead, so that the others elect. It comes back as after a pause
// when the write returns; the log store stops it when that takes too long.

// isolate is called by the log store when a write is over its deadline.
func (n *Node) isolate(err error) {
	n.log.Warn("disk does not answer, keeping apart", slog.Any("err", err))
	n.isolated.set(true)
	if m := n.member.Load(); m != nil {
		m.gate.isolate(true)
	}
	if n.port != nil {
		n.port.Isolate()
	}
}

// rejoin is called by the log store when the write has returned.
func (n *Node) rejoin(hung time.Duration) {
	n.log.Warn("disk answers again", slog.Duration("dur", hung))
	if n.port != nil {
		if err := n.port.Resume(); err != nil && n.ctx.Err() == nil {
			n.fail(&Fault{Kind: FaultBind, Err: fmt.Errorf("listen for masters again: %w", err)})
			return
		}
	}
	n.isolated.set(false)
	if m := n.member.Load(); m != nil {
		m.gate.isolate(false)
	}
}

// Isolated is true while a hung write keeps the node apart from everybody: the
// edge closes its listeners and connections. The channel is closed at the next change.
func (n *Node) Isolated() (bool, <-chan struct{}) { return n.isolated.get() }
