package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskraft/taskraft/internal/follow"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// The places to begin at, besides cursors.
const (
	Oldest = "oldest" // the oldest events that the master keeps
	Now    = "now"    // what happens from now on
)

const (
	// silentEvents is after what time a master that tells nothing, not even that nothing
	// happened, is left for another.
	silentEvents = 6 * time.Second
	// lonelyEvents is how long a master may not have heard a leader.
	lonelyEvents = 5 * time.Second
)

// EventQuery chooses events: what is empty matches all.
type EventQuery struct {
	// Since is the Cursor of an event, from which behind it goes on; or the index of a log
	// entry, with which it begins; or Oldest, the default; or Now.
	Since  string
	Follow bool // go on with what happens; else end behind what there is when the call begins
	Limit  int  // end after so many events; 0: none

	Task   uint64
	Queue  string
	Worker string
	Batch  uint64
	Types  []string // as Event.type
}

// CompactedError says that no master that answers keeps the events behind a cursor any
// more. What is not known of the time before Oldest, the present tasks tell: read them,
// and go on from the index of that answer.
type CompactedError struct {
	Since  string
	Oldest uint64 // the oldest entry whose events some master keeps
	err    error
}

func (e *CompactedError) Error() string {
	return fmt.Sprintf("read events: those behind %s are not kept any more, the oldest entry is %d", e.Since, e.Oldest)
}

// Unwrap returns the last master's answer, an *Error.
func (e *CompactedError) Unwrap() error { return e.err }

// Events tells what happened, in the order of the log. Any master answers; when one
// dies, hangs or is cut off, another goes on behind the last event that was told: none
// is missing, and none is told twice. It ends after the first error.
func (c *Client) Events(ctx context.Context, q EventQuery) iter.Seq2[*taskraftv1.Event, error] {
	const op = "read events"
	return func(yield func(*taskraftv1.Event, error) bool) {
		bad := checkText(nil, "since", q.Since, "queue", q.Queue, "worker_id", q.Worker)
		for _, t := range q.Types {
			bad = checkText(bad, "types", t)
		}
		if bad != nil {
			yield(nil, invalid(op, bad...))
			return
		}
		w := witness{c: c, yield: yield, follow: q.Follow, gone: make(map[grpc.ClientConnInterface]bool), req: &taskraftv1.WatchEventsRequest{
			Since: q.Since, Task: q.Task, Queue: q.Queue, WorkerId: q.Worker, Batch: q.Batch, Types: q.Types, Limit: int64(q.Limit), Once: !q.Follow,
		}}
		if !q.Follow {
			w.req.MinIndex = c.present(ctx)
		}
		err := wrap(op, c.follow.DoAny(ctx, w.stream), false)
		if w.compacted != nil {
			w.compacted.err = wrap(op, w.last, false)
			err = w.compacted
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// presentWithin bounds the search for a leader: without one, any master tells what it has.
const presentWithin = 2 * time.Second

// present returns an entry up to which everything is that was acknowledged before the
// call; 0 when no leader says so soon.
func (c *Client) present(ctx context.Context) uint64 {
	ctx, cancel := context.WithTimeout(ctx, presentWithin)
	defer cancel()
	resp, err := read(ctx, c, "find the present", readOptions{consistency: taskraftv1.Consistency_LINEARIZABLE}, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.ListQueuesResponse, error) {
		return taskraftv1.NewQueueServiceClient(conn).ListQueues(ctx, &taskraftv1.ListQueuesRequest{PageSize: 1, Consistency: taskraftv1.Consistency_LINEARIZABLE})
	})
	if err != nil {
		return 0 // nobody leads: the caller wants to know what happened nevertheless
	}
	return resp.GetPosition().GetIndex()
}

// witness is one Events.
type witness struct {
	c       *Client
	yield   func(*taskraftv1.Event, error) bool
	follow  bool
	req     *taskraftv1.WatchEventsRequest // as the next stream needs it
	cluster string

	gone      map[grpc.ClientConnInterface]bool // masters that do not keep what is next
	oldest    uint64                            // the lowest that they named
	last      error
	compacted *CompactedError
}

// stream is a follow.Call. Nil means that everything was told, that the caller has heard
// enough, or that no master has more.
func (w *witness) stream(ctx context.Context, conn grpc.ClientConnInterface) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := time.AfterFunc(silentEvents, cancel)
	defer silent.Stop()
	s, err := taskraftv1.NewEventServiceClient(conn).WatchEvents(ctx, w.req)
	for err == nil {
		var m *taskraftv1.WatchEventsResponse
		if m, err = s.Recv(); err != nil {
			break
		}
		silent.Reset(silentEvents)
		if over, err := w.take(m); over || err != nil {
			return err
		}
	}
	switch {
	case errors.Is(err, io.EOF) && !w.follow:
		return nil
	case errors.Is(err, io.EOF):
		return status.Error(codes.Unavailable, "the stream of events ended")
	case follow.Reason(err) == reason.Compacted:
		return w.missing(conn, err)
	}
	return err
}

// take tells what a message brings.
func (w *witness) take(m *taskraftv1.WatchEventsResponse) (over bool, err error) {
	id := m.GetPosition().GetClusterId()
	if w.cluster != "" && id != w.cluster {
		return true, status.Error(codes.FailedPrecondition, "the masters belong to another cluster now: its events are others")
	}
	w.cluster = id
	for _, e := range m.GetEvents() {
		clear(w.gone)
		w.req.Since = e.GetCursor()
		if !w.yield(e, nil) {
			return true, nil
		}
		if w.req.Limit > 0 {
			if w.req.Limit--; w.req.Limit == 0 {
				return true, nil
			}
		}
	}
	w.req.Since = m.GetCursor()
	if w.follow && m.GetPosition().GetAge().AsDuration() > lonelyEvents {
		return true, follow.ErrBehind // another master may hear the leader
	}
	return false, nil
}

// missing notes that a master does not keep what is next, and gives up when it says so
// again: the others were asked meanwhile.
func (w *witness) missing(conn grpc.ClientConnInterface, err error) error {
	e, _ := errors.AsType[*Error](wrap("", err, false))
	oldest, _ := strconv.ParseUint(e.Metadata[reason.MetaOldest], 10, 64)
	if len(w.gone) == 0 || oldest < w.oldest {
		w.oldest = oldest
	}
	w.last = err
	if w.gone[conn] || len(w.c.follow.Masters()) == 1 {
		w.compacted = &CompactedError{Since: w.req.Since, Oldest: w.oldest}
		return nil
	}
	w.gone[conn] = true
	return follow.ErrBehind
}
