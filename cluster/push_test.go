package cluster

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// pushHost is where a push worker's processes run: a dialer of one address.
type pushHost struct {
	mu       sync.Mutex
	hello    Hello // of the process that runs; no boot: none does
	started  map[uint64]int
	release  chan struct{} // executions end when it is closed
	settled  []TaskOutcome
	stopped  []uint64
	terms    []uint64
	draining bool
	goodbye  bool
}

func newPushHost(boot string) *pushHost {
	h := &pushHost{started: make(map[uint64]int), release: make(chan struct{})}
	h.hello = hello("p", boot, 2, "q")
	return h
}

func (h *pushHost) Dial(string) (PushWorker, error) { return h, nil }
func (h *pushHost) Close() error                    { return nil }

// boots replaces the process; "" ends it.
func (h *pushHost) boots(boot string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hello.Boot, h.hello.Held = boot, nil
	close(h.release)
	h.release = make(chan struct{})
}

func (h *pushHost) Describe(_ context.Context, from PushCaller) (Hello, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hello.Boot == "" {
		return Hello{}, ErrRefused
	}
	h.terms = append(h.terms, from.Term)
	return h.hello, nil
}

func (h *pushHost) check(boot string) error {
	switch h.hello.Boot {
	case boot:
		return nil
	case "":
		return ErrRefused
	}
	return ErrOtherBoot
}

func (h *pushHost) Do(ctx context.Context, _ PushCaller, boot string, t *fsm.Task, _ int64, join bool) (PushReport, error) {
	h.mu.Lock()
	if err := h.check(boot); err != nil {
		h.mu.Unlock()
		return PushReport{}, err
	}
	if h.started[t.Fence] == 0 && join {
		h.mu.Unlock()
		return PushReport{}, ErrNotThere
	}
	h.started[t.Fence]++
	h.hello.Held = append(h.hello.Held, t.Fence)
	release := h.release
	h.mu.Unlock()
	select {
	case <-release:
	case <-ctx.Done():
		return PushReport{}, ctx.Err()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.check(boot); err != nil {
		return PushReport{}, err
	}
	return PushReport{Done: &fsmpb.Completion{Task: t.ID, Fence: t.Fence, Digest: 1}}, nil
}

func (h *pushHost) Stop(_ context.Context, _ PushCaller, boot string, a Abort) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = append(h.stopped, a.Fence)
	return h.check(boot)
}

func (h *pushHost) Check(ctx context.Context, _ PushCaller, boot string, outcomes []TaskOutcome) (PushState, error) {
	if len(outcomes) == 0 {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return PushState{}, ctx.Err()
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.settled = append(h.settled, outcomes...)
	return PushState{Draining: h.draining, Goodbye: h.goodbye}, h.check(boot)
}

// newPushRig is a rig whose leader calls a worker at host.
func newPushRig(t *testing.T, host *pushHost) *rig {
	t.Helper()
	r := newRig(t, &Config{PushDialer: host})
	_, _, err := r.e.propose(t.Context(), &fsmpb.Command{Kind: &fsmpb.Command_SetPush{SetPush: &fsmpb.SetPush{Addr: "p:1"}}})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return r
}

func TestPushWorkersAreCalledAndTheirReportsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newPushHost("a")
		r := newPushRig(t, host)
		defer r.close()
		ids := r.submit("q", 3) // two slots
		synctest.Wait()
		if len(host.started) != 2 {
			t.Fatalf("%d executions in two slots", len(host.started))
		}
		time.Sleep(time.Minute) // its answers keep the session
		synctest.Wait()
		close(host.release)
		synctest.Wait()
		for _, id := range ids {
			if got := r.task(id); got.State != fsm.Succeeded || got.Attempts != 1 {
				t.Errorf("task %d is %v after %d attempts", id, got.State, got.Attempts)
			}
		}
		if len(host.settled) != 3 {
			t.Errorf("%d outcomes were told, want 3", len(host.settled))
		}
		r.sameTables()
	})
}

func TestTheNextLeaderJoinsAPushExecution(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newPushHost("a")
		r := newPushRig(t, host)
		defer r.close()
		id := r.submit("q", 1)[0]
		synctest.Wait()
		fence := r.task(id).Fence
		r.e.end(Leader{})
		r.begin(2)
		time.Sleep(time.Second)
		synctest.Wait()
		if host.started[fence] != 2 || host.terms[len(host.terms)-1] != 2 {
			t.Fatalf("called %d times with the fence, terms %v", host.started[fence], host.terms)
		}
		close(host.release)
		synctest.Wait()
		if got := r.task(id); got.State != fsm.Succeeded || got.Attempts != 1 {
			t.Errorf("the task is %v after %d attempts", got.State, got.Attempts)
		}
	})
}

func TestADeadPushWorkersTasksAreRequeuedBeforeItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newPushHost("a")
		r := newPushRig(t, host)
		defer r.close()
		id := r.submit("q", 1)[0]
		synctest.Wait()
		host.boots("")
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if got := r.task(id); got.State != fsm.Ready || got.Crashes != 1 {
			t.Fatalf("4 s after its worker's death the task is %v, %d crashes", got.State, got.Crashes)
		}
		host.boots("b") // another process at the same place
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := r.task(id); got.State != fsm.Running || got.Boot != "b" {
			t.Fatalf("the task is %v at %q", got.State, got.Boot)
		}
		close(host.release)
		synctest.Wait()
		if got := r.task(id); got.State != fsm.Succeeded {
			t.Errorf("the task is %v", got.State)
		}
		r.sameTables()
	})
}

func TestAnotherProcessTakesAPushWorkerOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newPushHost("a")
		r := newPushRig(t, host)
		defer r.close()
		id := r.submit("q", 1)[0]
		synctest.Wait()
		first := r.task(id).Fence
		host.boots("b")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := r.task(id); got.State != fsm.Running || got.Boot != "b" || got.Fence <= first {
			t.Errorf("the task is %v at %q under fence %d", got.State, got.Boot, got.Fence)
		}
	})
}

func TestPushWorkersDrainStopAndLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newPushHost("a")
		r := newPushRig(t, host)
		defer r.close()
		id := r.submit("q", 1)[0]
		synctest.Wait()
		_, _, err := r.e.propose(t.Context(), &fsmpb.Command{Kind: &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: []uint64{id}}}})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(host.stopped) != 1 {
			t.Errorf("stopped %v", host.stopped)
		}
		host.mu.Lock()
		host.draining = true
		host.mu.Unlock()
		close(host.release)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := r.task(id); got.State != fsm.Cancelled {
			t.Errorf("the task is %v", got.State)
		}
		later := r.submit("q", 1)[0]
		synctest.Wait()
		if got := r.task(later); got.State != fsm.Ready {
			t.Errorf("a draining worker's task is %v", got.State)
		}
		host.mu.Lock()
		host.goodbye, host.hello.Boot = true, "a"
		host.mu.Unlock()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if s := r.table.m.SessionOf("p"); s != nil {
			t.Errorf("after the goodbye its session is %+v", s)
		}
		for p := range r.table.m.Pushes() {
			t.Errorf("after the goodbye %s is on the list", p.Addr)
		}
	})
}
