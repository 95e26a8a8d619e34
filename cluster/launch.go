package cluster

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// launched is what startRaft came to.
type launched struct {
	member *member
	err    error
}

// launch runs startRaft on the side: it writes, and a log store whose disk has
// failed never returns from a write. When a fault comes first, or ctx ends, and
// startRaft does not return soon, it is left behind (n.stuck) with what it has
// open, because an error would make Raft panic. failed is nil where supervise
// takes the faults.
func (n *Node) launch(ctx context.Context, failed <-chan *Fault) (*member, error) {
	done, left := make(chan launched), make(chan struct{})
	go func() {
		m, err := n.startRaft()
		select {
		case done <- launched{m, err}:
		case <-left:
			n.abandon(m)
		}
	}()
	var why error
	select {
	case l := <-done:
		return l.member, l.err
	case f := <-failed:
		n.fail(f) // still waits for whoever ends the node
		why = f
	case <-ctx.Done():
		why = ctx.Err()
	}
	soon := time.NewTimer(raftEndsWithin)
	defer soon.Stop()
	if n.diskHangs() {
		soon.Reset(0)
	}
	select {
	case l := <-done:
		return l.member, l.err
	case <-soon.C:
		n.stuck = true
		close(left)
		return nil, why
	}
}

// abandon closes what a startRaft that came back too late has opened.
func (n *Node) abandon(m *member) {
	if m != nil {
		if err := m.raft.Shutdown().Error(); err != nil {
			n.log.Debug("raft not shut down", slog.Any("err", err))
		}
	}
	if err := n.closeStores(); err != nil {
		n.log.Warn("stores not closed", slog.Any("err", err))
	}
}

// diskHangs reports that whoever writes to the log store does not come back.
func (n *Node) diskHangs() bool { return n.storeDead.Load() || n.store.Stats().Hung }

// letGo closes what the node has open, except under a startRaft left behind.
func (n *Node) letGo() error {
	if !n.stuck {
		return n.closeStores()
	}
	go n.port.Close()            // its handlers may hang with Raft
	if n.cfg.hooks.left != nil { // the process goes on, and is to get rid of what hangs
		go func() { _ = errors.Join(n.store.Close(), n.dir.Close()) }()
		if r := n.ring.Load(); r != nil {
			r.Close()
		}
	}
	return nil
}
