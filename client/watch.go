package client

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/taskraft/taskraft/internal/follow"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	maxWatched  = 1 << 16 // by the masters' rule
	maxWatchIDs = 10_000  // in one message
	// watchLinger is how long the stream stays open when there is nothing to watch.
	watchLinger = 5 * time.Second
)

// watches follows the tasks of handles to their ends, over one stream to the
// leader while there are any.
type watches struct {
	c *Client

	mu      sync.Mutex
	handles map[uint64][]*Handle // by task
	asked   map[uint64]struct{}  // of them, those that the present stream was asked for
	fresh   []uint64             // to be asked for, in this order; some may be gone
	dropped []uint64             // asked for and forgotten since
	open    bool                 // somebody looks after the stream
	wake    chan struct{}        // holds a token when there is something to send
	wg      sync.WaitGroup
}

func (w *watches) init(c *Client) {
	w.c, w.handles, w.asked = c, make(map[uint64][]*Handle), make(map[uint64]struct{})
	w.wake = make(chan struct{}, 1)
}

// close fails what is left, once the client's life has ended and nothing is
// submitted any more.
func (w *watches) close() {
	w.wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, list := range w.handles {
		for _, h := range list {
			h.finish(nil, errClosed)
		}
	}
	clear(w.handles)
}

// watch follows the handles' tasks.
func (w *watches) watch(handles []*Handle) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range handles {
		h.mu.Lock()
		id, gone := h.receipt.ID, h.stage == over
		h.mu.Unlock()
		if gone {
			continue
		}
		if w.handles[id] == nil {
			w.fresh = append(w.fresh, id)
		}
		w.handles[id] = append(w.handles[id], h)
	}
	w.ring()
	if !w.open && len(w.handles) > 0 {
		w.open = true
		w.wg.Go(w.run)
	}
}

func (w *watches) ring() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// forget no longer follows a task for h.
func (w *watches) forget(id uint64, h *Handle) {
	w.mu.Lock()
	defer w.mu.Unlock()
	left := slices.DeleteFunc(w.handles[id], func(x *Handle) bool { return x == h })
	if len(left) > 0 {
		w.handles[id] = left
		return
	}
	delete(w.handles, id)
	if _, ok := w.asked[id]; ok {
		delete(w.asked, id)
		w.dropped = append(w.dropped, id)
		w.ring()
	}
}

// run holds one stream after another while there is something to watch.
func (w *watches) run() {
	for {
		err := w.c.follow.Do(w.c.life, w.stream)
		w.mu.Lock()
		var failed []*Handle
		if err != nil {
			err = wrap("watch tasks", err, false)
			for _, list := range w.handles {
				failed = append(failed, list...)
			}
			clear(w.handles)
		}
		done := len(w.handles) == 0
		w.open = !done
		w.mu.Unlock()
		for _, h := range failed {
			h.finish(nil, err)
		}
		if done {
			return
		}
	}
}

// stream is a follow.Call: it watches on conn until nothing was left to watch for a
// while.
func (w *watches) stream(ctx context.Context, conn grpc.ClientConnInterface) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := taskraftv1.NewTaskServiceClient(conn).WatchTasks(ctx)
	if err != nil {
		return err
	}
	seen := w.c.follow.Position()
	first, err := s.Recv()
	if err != nil {
		return err
	}
	if follow.PositionOf(first.GetPosition()).Before(seen) {
		return follow.ErrBehind
	}
	w.restart()
	var sender sync.WaitGroup
	sender.Go(func() { w.send(ctx, s) })
	defer sender.Wait()
	defer cancel()
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		w.c.follow.Observe(follow.PositionOf(m.GetPosition()))
		w.take(m)
	}
}

// restart asks for everything again, on a new stream.
func (w *watches) restart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.asked)
	w.dropped, w.fresh = nil, w.fresh[:0]
	for id := range w.handles {
		w.fresh = append(w.fresh, id)
	}
	slices.Sort(w.fresh)
	w.ring()
}

// send asks for tasks until ctx ends or there is nothing to watch. An error only
// says that the stream ended: the receiver learns why.
func (w *watches) send(ctx context.Context, s grpc.BidiStreamingClient[taskraftv1.WatchTasksRequest, taskraftv1.WatchTasksResponse]) {
	idle := time.NewTimer(watchLinger)
	defer idle.Stop()
	for {
		req := w.request()
		if len(req.GetIds())+len(req.GetForget()) > 0 {
			if s.Send(req) != nil {
				return
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
			idle.Reset(watchLinger)
		case <-idle.C:
			if w.idle() {
				_ = s.CloseSend() // never fails: the stream was open a moment ago
				return
			}
			idle.Reset(watchLinger)
		}
	}
}

func (w *watches) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.handles) == 0
}

// request returns what to ask for next, within the masters' limits.
func (w *watches) request() *taskraftv1.WatchTasksRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	req := &taskraftv1.WatchTasksRequest{Forget: w.dropped}
	w.dropped = nil
	n := 0
	for ; n < len(w.fresh) && len(req.Ids) < maxWatchIDs && len(w.asked) < maxWatched; n++ {
		id := w.fresh[n]
		if _, ok := w.asked[id]; !ok && w.handles[id] != nil {
			w.asked[id] = struct{}{}
			req.Ids = append(req.Ids, id)
		}
	}
	if w.fresh = w.fresh[n:]; len(w.fresh) == 0 {
		w.fresh = nil
	}
	return req
}

// take finishes the handles of tasks that have ended.
func (w *watches) take(m *taskraftv1.WatchTasksResponse) {
	for _, t := range m.GetEnded() {
		for _, h := range w.remove(t.GetId()) {
			h.finish(t, nil)
		}
	}
	for _, id := range m.GetForgotten() {
		w.fail(id, reason.Forgotten, "the task existed; its record is trimmed")
	}
	for _, id := range m.GetUnknown() {
		w.fail(id, reason.TaskNotFound, "no such task")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.fresh) > 0 {
		w.ring() // there is room for more
	}
}

// remove returns who followed the task.
func (w *watches) remove(id uint64) []*Handle {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.handles[id]
	delete(w.handles, id)
	delete(w.asked, id)
	return list
}

func (w *watches) fail(id uint64, why, message string) {
	for _, h := range w.remove(id) {
		h.finish(nil, &Error{
			Op: "watch task", Code: codes.NotFound, Reason: why, Message: message, Metadata: map[string]string{"id": strconv.FormatUint(id, 10)},
		})
	}
}
