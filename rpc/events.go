package rpc

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/cluster/events"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	maxEventWait  = time.Minute
	maxEventBatch = 500             // events in one message of a stream
	eventQuiet    = 2 * time.Second // a stream that says nothing for longer is dead
	// eventScan is how long a page may look for events that match.
	eventScan = time.Second

	sinceOldest, sinceNow = "oldest", "now"
)

// eventQuery is what both requests have in common.
type eventQuery interface {
	GetSince() string
	GetTask() uint64
	GetQueue() string
	GetWorkerId() string
	GetBatch() uint64
	GetTypes() []string
	GetMinIndex() uint64
}

// events checks a query.
func (v *violations) events(q eventQuery) (cluster.EventsFrom, events.Filter) {
	var from cluster.EventsFrom
	switch q.GetSince() {
	case "", sinceOldest:
		from.Oldest = true
	case sinceNow:
		from.Now = true
	default:
		c, err := events.ParseCursor(q.GetSince())
		if err != nil {
			v.add("since", "got %s, want INDEX, INDEX.SUB, oldest or now", quoted(q.GetSince()))
		}
		from.Cursor = c
	}
	f := events.Filter{Task: q.GetTask(), Queue: q.GetQueue(), Worker: q.GetWorkerId(), Batch: q.GetBatch()}
	if f.Queue != "" {
		v.queue("queue", f.Queue)
	}
	if f.Worker != "" {
		v.workerID("worker_id", f.Worker)
	}
	for _, list := range q.GetTypes() { // in a URL, several may stand in one
		for name := range strings.SplitSeq(list, ",") {
			t := events.TypeOf(name)
			if t == 0 {
				v.add("types", "got %s, want some of %s", quoted(name), strings.Join(events.TypeNames(), ", "))
				return from, f
			}
			f.Want(t)
		}
	}
	return from, f
}

// feed returns this master's events once it has applied an entry.
func (s *Server) feed(ctx context.Context, from cluster.EventsFrom, filter events.Filter, minIndex uint64) (*events.Stream, error) {
	if minIndex > 0 {
		if _, err := s.node.Read(ctx, cluster.ReadOptions{Level: cluster.Stale, MinIndex: minIndex}, func(*fsm.Machine) {}); err != nil {
			return nil, err
		}
	}
	return s.node.Events(from, filter)
}

// ListEvents returns a page of this master's events.
func (s *Server) ListEvents(ctx context.Context, req *taskraftv1.ListEventsRequest) (*taskraftv1.ListEventsResponse, error) {
	var v violations
	from, filter := v.events(req)
	size := v.pageSize(req.GetPageSize())
	wait := v.duration("wait", req.GetWait(), 0, maxEventWait)
	if err := v.err(); err != nil {
		return nil, err
	}
	feed, err := s.feed(ctx, from, filter, req.GetMinIndex())
	if err != nil {
		return nil, s.statusOf(err)
	}
	defer feed.Close()
	out := &taskraftv1.ListEventsResponse{}
	waiting, cancel := context.WithTimeout(ctx, time.Duration(wait))
	defer cancel()
	for began := time.Now(); len(out.Events) < size; {
		if _, last := s.node.EventRange(); feed.Cursor().Index > last && (len(out.Events) > 0 || wait == 0) {
			break
		}
		switch err := s.node.MoreEvents(waiting, feed); {
		case err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			return s.endEvents(out, feed), nil
		case err != nil:
			return nil, s.statusOf(err)
		}
		if out.Events, err = collect(out.Events, feed, size); err != nil {
			return nil, s.statusOf(err)
		}
		if len(out.Events) == 0 && time.Since(began) > max(eventScan, time.Duration(wait)) {
			break
		}
	}
	return s.endEvents(out, feed), nil
}

func (s *Server) endEvents(out *taskraftv1.ListEventsResponse, feed *events.Stream) *taskraftv1.ListEventsResponse {
	out.Next, out.Position = feed.Cursor().String(), s.position(s.node.Position())
	out.OldestIndex, _ = s.node.EventRange()
	return out
}

// collect adds what is at hand, up to most events.
func collect(to []*taskraftv1.Event, feed *events.Stream, most int) ([]*taskraftv1.Event, error) {
	for len(to) < most {
		e, err := feed.Event()
		if e == nil || err != nil {
			return to, err
		}
		to = append(to, event(e))
	}
	return to, nil
}

// WatchEvents tells of this master's events until the caller has enough.
func (s *Server) WatchEvents(req *taskraftv1.WatchEventsRequest, stream grpc.ServerStreamingServer[taskraftv1.WatchEventsResponse]) error {
	var v violations
	from, filter := v.events(req)
	if req.GetLimit() < 0 {
		v.add("limit", "got %d, want 0 or more", req.GetLimit())
	}
	if err := v.err(); err != nil {
		return err
	}
	feed, err := s.feed(stream.Context(), from, filter, req.GetMinIndex())
	if err != nil {
		return s.statusOf(err)
	}
	defer feed.Close()
	t := telling{s: s, stream: stream, feed: feed, limit: req.GetLimit()}
	if err := t.send(nil); err != nil {
		return err
	}
	if req.GetOnce() {
		_, last := s.node.EventRange()
		t.until = max(feed.Cursor().Index, last+1)
		if feed.Cursor().Index > last+1 { // it is in the future: wait for it
			t.until++
		}
	}
	return t.run(stream.Context())
}

// telling is one WatchEvents.
type telling struct {
	s      *Server
	stream grpc.ServerStreamingServer[taskraftv1.WatchEventsResponse]
	feed   *events.Stream
	limit  int64 // 0: none
	until  uint64
	told   int64
	sent   time.Time
}

func (t *telling) run(ctx context.Context) error {
	for t.until == 0 || t.feed.Cursor().Index < t.until {
		err := t.more(ctx)
		switch {
		case err == nil:
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			if err := t.send(nil); err != nil {
				return err
			}
			continue
		default:
			return t.s.statusOf(err)
		}
		if done, err := t.page(); done || err != nil {
			return err
		}
	}
	return nil
}

// more waits for a page, but no longer than a stream may say nothing.
func (t *telling) more(ctx context.Context) error {
	ctx, cancel := context.WithDeadline(ctx, t.sent.Add(eventQuiet))
	defer cancel()
	return t.s.node.MoreEvents(ctx, t.feed)
}

// page tells what there is in a page of the ring.
func (t *telling) page() (done bool, err error) {
	for {
		most := int64(maxEventBatch)
		if t.limit > 0 {
			most = min(most, t.limit-t.told)
		}
		list, err := collect(nil, t.feed, int(most))
		if err != nil {
			return true, t.s.statusOf(err)
		}
		t.told += int64(len(list))
		if len(list) > 0 || time.Since(t.sent) > eventQuiet {
			if err := t.send(list); err != nil {
				return true, err
			}
		}
		if t.limit > 0 && t.told == t.limit {
			return true, nil
		}
		if len(list) < int(most) {
			return false, nil
		}
	}
}

func (t *telling) send(list []*taskraftv1.Event) error {
	t.sent = time.Now()
	oldest, _ := t.s.node.EventRange()
	return t.stream.Send(&taskraftv1.WatchEventsResponse{
		Events: list, Cursor: t.feed.Cursor().String(), OldestIndex: oldest, Position: t.s.position(t.s.node.Position()),
	})
}

func event(e *events.Event) *taskraftv1.Event {
	out := &taskraftv1.Event{
		Cursor: e.Cursor().String(), Index: e.Index, Term: e.Term, Time: timestamp(e.Now), Type: e.Type.String(), Principal: e.Principal,
		Task: e.Task, Generation: e.Generation, State: taskraftv1.TaskState(e.State), Queue: e.Queue, Kind: e.Kind,
		Attempt: e.Attempt, Fence: e.Fence, Session: e.Session, WorkerId: e.Worker,
		Cause: e.Cause.String(), Error: e.Error, Reason: e.Reason,
		Batch: e.Batch, Schedule: e.Schedule, Member: e.Member, Number: e.Number, Count: e.Count, Detail: e.Detail, Broadcast: e.Broadcast,
	}
	if e.Outcome != fsm.OutcomeNone {
		out.Outcome = e.Outcome.String()
	}
	return out
}
