package cluster

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
)

// fail stops the node with its first fatal error. It does not wait.
func (n *Node) fail(f *Fault) {
	select {
	case n.failed <- f:
	default:
	}
}

func (n *Node) failWith(err error) {
	f, ok := errors.AsType[*Fault](err)
	if !ok {
		f = &Fault{Kind: FaultDisk, Err: err}
	}
	n.fail(f)
}

// supervise ends the node on a fatal error.
func (n *Node) supervise() {
	select {
	case f := <-n.failed:
		n.log.Error("master stops", slog.Any("err", f))
		n.shutdown(f)
	case <-n.done:
	}
}

// stopTries bounds the attempts to hand leadership over at a stop.
const stopTries = 3

// Stop hands leadership over, tells open streams, shuts down and closes the
// stores. ctx bounds the hand-over. It returns the fatal error if there was one.
func (n *Node) Stop(ctx context.Context) error {
	for range stopTries {
		m := n.member.Load()
		if m == nil || m.raft.State() != raft.Leader || len(n.peers.others()) == 0 || ctx.Err() != nil {
			break
		}
		if err := n.handOver(ctx, ""); err != nil {
			n.log.Debug("leadership not handed over", slog.Any("err", err))
			continue
		}
		n.awaitSuccessor(ctx)
	}
	n.replica.yielding.Store(true)
	n.replica.drain(ctx)
	n.shutdown(nil)
	<-n.done
	return n.err
}

// raftEndsWithin bounds the wait for Raft at a stop: with a hung disk it never ends.
const raftEndsWithin = 5 * time.Second

// shutdown ends everything once. A node that stops because of its disk leaves
// Raft, or who stores ahead of it, hanging in a write: letting go would make Raft
// panic.
func (n *Node) shutdown(f *Fault) {
	if n.stopped.Swap(true) {
		<-n.done
		return
	}
	defer close(n.done)
	if f != nil {
		n.err = f
	}
	n.cancel()
	n.wg.Wait()
	ended := n.stopRaft()
	n.engineStop()
	n.stuck = n.stuck || !ended || n.diskHangs()
	if err := n.letGo(); err != nil && n.err == nil {
		n.err = err
	}
}

// stopRaft reports whether Raft has ended.
func (n *Node) stopRaft() bool {
	m := n.member.Load()
	if m == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), raftEndsWithin)
	defer cancel()
	if n.diskHangs() {
		cancel()
	}
	f := m.raft.Shutdown()
	if err := m.transport.Close(); err != nil { // ends the RPCs that Raft waits for
		n.log.Debug("raft transport not closed", slog.Any("err", err))
	}
	return waitFuture(ctx, f) == nil
}

func (n *Node) engineStop() {
	if n.engine != nil {
		n.engine.stop()
	}
}

// closeStores closes the ring of events, port, log and directory, in this order.
func (n *Node) closeStores() error {
	var errs []error
	if r := n.ring.Load(); r != nil {
		r.Close()
	}
	if n.port != nil {
		errs = append(errs, n.port.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	if n.dir != nil {
		errs = append(errs, n.dir.Close())
	}
	return errors.Join(errs...)
}

// Done is closed when the node has stopped; Err then says why (nil after Stop).
func (n *Node) Done() <-chan struct{} { return n.done }

// Err returns the fatal error that ended the node, nil while it runs.
func (n *Node) Err() error {
	select {
	case <-n.done:
		return n.err
	default:
		return nil
	}
}
