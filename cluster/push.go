package cluster

import (
	"context"
	"errors"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Push workers are plain servers that the leader dials. Towards the dispatcher
// such a worker is a session with a stream like any other; what a stream worker
// does at its end of the stream, pushLink does here, by calls.
//
//	list in the table ──► pushes ──► pushLink per address ──► Attach, Stream
//	                                     │  ▲
//	                                     ▼  │
//	                                 PushWorker: Describe, Do, Stop, Check

// ErrRefused is what a PushWorker's calls return when nobody listens at its
// address: the worker's process is dead.
var ErrRefused = errors.New("nobody listens")

// ErrOtherBoot is what a PushWorker's calls return when another process than the
// one that was described answers, or one that has heard of a later term.
var ErrOtherBoot = errors.New("another process answers")

// PushDialer makes connections to push workers; package rpc implements it.
type PushDialer interface {
	// Dial does not wait; the calls do.
	Dial(addr string) (PushWorker, error)
}

// PushWorker is the connection to one push worker. Its calls may be made at the
// same time.
type PushWorker interface {
	// Describe asks who is there: as in an attach, with the fences it has.
	Describe(ctx context.Context, from PushCaller) (Hello, error)
	// Do has an attempt executed, or joins its execution, and returns its report
	// when it has ended. With join it starts nothing: ErrNotThere.
	Do(ctx context.Context, from PushCaller, boot string, t *fsm.Task, now int64, join bool) (PushReport, error)
	// Stop asks for the end of an execution; Do returns its report.
	Stop(ctx context.Context, from PushCaller, boot string, a Abort) error
	// Check tells the outcomes of reports and keeps the session. Without outcomes
	// it returns when the worker has something to say, or a heartbeat is due.
	Check(ctx context.Context, from PushCaller, boot string, outcomes []TaskOutcome) (PushState, error)
	Close() error
}

// ErrNotThere is Do's answer to a join of an execution that the worker does not know.
var ErrNotThere = errors.New("no such execution")

// PushCaller is what a worker is told of the leader that calls; it refuses one of
// an earlier term.
type PushCaller struct {
	ClusterID string
	Term      uint64
}

// PushReport is what a worker says of one attempt; one of the fields is set.
type PushReport struct {
	Done   *fsmpb.Completion
	Failed *fsmpb.Failure
	Back   *fsmpb.Handback
}

// PushState is what a worker says of itself.
type PushState struct {
	Draining bool // it takes no more tasks
	Goodbye  bool // and ends now
}

// pushes runs a link per address of the list, as the list changes, until the
// leadership ends. It is one of the leadership's goroutines.
func (l *reign) pushes() {
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	links := make(map[string]*pushLink)
	for {
		want := make(map[string]bool)
		l.e.t.mu.RLock()
		for p := range l.e.t.m.Pushes() {
			want[p.Addr] = true
		}
		l.e.t.mu.RUnlock()
		for addr := range want {
			if links[addr] == nil {
				links[addr] = l.link(ctx, addr)
			}
		}
		for addr, k := range links {
			if !want[addr] {
				k.cancel()
				delete(links, addr)
			}
		}
		select {
		case <-l.pushed:
		case <-l.closed:
			cancel()
			return
		}
	}
}

// link starts the link to one address.
func (l *reign) link(ctx context.Context, addr string) *pushLink {
	k := &pushLink{l: l, addr: addr, from: PushCaller{ClusterID: l.e.clusterID(), Term: l.term}}
	ctx, k.cancel = context.WithCancel(ctx)
	l.e.wg.Go(func() { k.run(ctx) })
	return k
}

// bury expires the session of a worker whose process is known to be dead.
func (l *reign) bury(addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.byID {
		if s.push == addr && s.stream == nil && !s.expiring {
			s.dead = true
			l.expire(s)
		}
	}
}
