package cluster

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

func (r *rig) read(ctx context.Context, o ReadOptions) (Position, error) {
	return r.e.read(ctx, o, func(*fsm.Machine) {})
}

func TestLinearizableReadsShareARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		var rounds []time.Time
		r.raft.confirm = func(context.Context, uint64) error {
			rounds = append(rounds, time.Now())
			time.Sleep(time.Second)
			return nil
		}
		began := time.Now()
		var wg sync.WaitGroup
		var ended []time.Duration
		var mu sync.Mutex
		for _, at := range []time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond} {
			wg.Go(func() {
				time.Sleep(at)
				if _, err := r.read(t.Context(), ReadOptions{}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, time.Since(began))
			})
		}
		wg.Wait()
		if len(rounds) != 2 {
			t.Errorf("%d rounds for one read and three that came during its round", len(rounds))
		}
		// Those that came while a round ran must not be answered by it.
		if ended[0] != time.Second || ended[1] != 2*time.Second || ended[3] != 2*time.Second {
			t.Errorf("answered after %v", ended)
		}
	})
}

func TestLinearizableReadIsRefusedAfterTheTermChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.raft.mu.Lock()
		r.raft.term = 2 // a majority has moved on; this master does not know yet
		r.raft.mu.Unlock()
		_, err := r.read(t.Context(), ReadOptions{})
		if _, ok := errors.AsType[*NotLeaderError](err); !ok {
			t.Errorf("got %v", err)
		}
		if _, err := r.read(t.Context(), ReadOptions{Level: Stale}); err != nil {
			t.Errorf("stale: %v", err)
		}
		r.e.end(Leader{Name: "n2"})
		_, err = r.read(t.Context(), ReadOptions{})
		if nl, ok := errors.AsType[*NotLeaderError](err); !ok || nl.Leader.Name != "n2" {
			t.Errorf("on a follower: %v", err)
		}
	})
}

func TestReadEndsWithLeadershipOrCtx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.raft.confirm = func(ctx context.Context, _ uint64) error {
			<-ctx.Done() // nobody answers
			return ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.read(ctx, ReadOptions{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		go func() {
			time.Sleep(time.Second)
			r.e.end(Leader{Name: "n2"})
		}()
		_, err := r.read(t.Context(), ReadOptions{})
		if _, ok := errors.AsType[*NotLeaderError](err); !ok {
			t.Errorf("got %v", err)
		}
	})
}

func TestMinIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		res, pos, err := r.e.propose(t.Context(), submitTo("q", 1))
		if err != nil || len(res.IDs) != 1 {
			t.Fatal(err)
		}
		if p, err := r.read(t.Context(), ReadOptions{Level: Stale, MinIndex: pos.Index}); err != nil || p.Index < pos.Index {
			t.Errorf("got %+v, %v", p, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.read(ctx, ReadOptions{Level: Stale, MinIndex: pos.Index + 2}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		go func() {
			for range 2 {
				time.Sleep(time.Second)
				r.e.propose(t.Context(), submitTo("q", 1))
			}
		}()
		before := time.Now()
		p, err := r.read(t.Context(), ReadOptions{Level: Stale, MinIndex: pos.Index + 2})
		if err != nil || p.Index != pos.Index+2 || time.Since(before) != 2*time.Second {
			t.Errorf("got %+v, %v after %v", p, err, time.Since(before))
		}
		if n := r.e.waits.n.Load(); n != 0 {
			t.Errorf("%d waiters are left", n)
		}
	})
}

func TestWaitTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		h := hello("w", "b", 4, "q")
		h.TTL = time.Hour
		s := r.attach(h)
		ids := r.submit("q", 2)
		held := r.next(s).Assignments

		for _, wait := range []time.Duration{0, time.Second} {
			if x, known, _, err := r.e.waitTask(t.Context(), ids[0], wait); err != nil || !known || x.State != fsm.Running {
				t.Errorf("after %v: %v, %v, %v", wait, x, known, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if x, _, _, err := r.e.waitTask(ctx, ids[0], time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller waits no longer: %v, %v", x, err)
		}
		go func() {
			time.Sleep(time.Second)
			r.complete(s, held[0])
		}()
		before := time.Now()
		x, known, pos, err := r.e.waitTask(t.Context(), ids[0], time.Hour)
		if err != nil || !known || x.State != fsm.Succeeded || pos.Index == 0 || time.Since(before) != time.Second {
			t.Errorf("got %v, %v, %+v, %v after %v", x, known, pos, err, time.Since(before))
		}
		if x, _, _, err := r.e.waitTask(t.Context(), ids[0], time.Hour); err != nil || x.State != fsm.Succeeded {
			t.Errorf("already ended: %v, %v", x, err)
		}
		if x, known, _, err := r.e.waitTask(t.Context(), 99, time.Hour); x != nil || known || err != nil {
			t.Errorf("no such task: %v, %v, %v", x, known, err)
		}
		go func() {
			time.Sleep(time.Second)
			r.e.end(Leader{Name: "n2"})
		}()
		_, _, _, err = r.e.waitTask(t.Context(), ids[1], time.Hour)
		if _, ok := errors.AsType[*NotLeaderError](err); !ok {
			t.Errorf("leadership moved: %v", err)
		}
		if n := r.e.waits.n.Load(); n != 0 {
			t.Errorf("%d waiters are left", n)
		}
	})
}

func TestRestoredTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 1, "other"))
		ids := r.submit("q", 1)
		done := make(chan *fsm.Task, 1)
		go func() {
			x, _, _, err := r.e.waitTask(t.Context(), ids[0], time.Hour)
			if err != nil {
				t.Error(err)
			}
			done <- x
		}()
		reached := make(chan error, 1)
		go func() { reached <- r.e.waitIndex(t.Context(), 10) }()
		synctest.Wait()

		m := fsm.New()
		for i := range uint64(10) {
			c := submitTo("q", 1)
			if i > 0 {
				c = &fsmpb.Command{Kind: &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: ids}}}
			}
			m.Apply(i+1, 1, &fsm.Entry{Header: fsm.Header{Level: 1, Term: 1, Now: int64(i)}, Commands: []*fsmpb.Command{c}})
		}
		r.table.mu.Lock()
		r.table.m, r.raft.index = m, 10
		r.e.restored()
		r.table.mu.Unlock()
		if x := <-done; x == nil || x.State != fsm.Cancelled {
			t.Errorf("waiting for a task: %v", x)
		}
		if err := <-reached; err != nil {
			t.Errorf("waiting for an index: %v", err)
		}
		if _, err := s.Next(t.Context()); !errors.Is(err, ErrUncertain) {
			t.Errorf("stream: %v", err)
		}
	})
}
