package rpc_test

import (
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// TestWorkers lists, drains and removes a worker that pulls.
func TestWorkers(t *testing.T) {
	m := startMaster(t)
	submit(t, m, &spec{})
	later := submit(t, m, &spec{})
	a := pull(t, m, "w1", 1, "default")
	get := func() *taskraftv1.Worker {
		t.Helper()
		resp, err := m.GetWorker(t.Context(), &taskraftv1.GetWorkerRequest{WorkerId: "w1"})
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetWorker()
	}
	w := get()
	if w.GetState() != taskraftv1.WorkerState_WORKER_ONLINE || w.GetMode() != "pull" || w.GetHeld() != 1 || w.GetSilent() == nil ||
		len(w.GetTasks()) != 1 || w.GetTasks()[0].GetFence() != a.GetFence() || w.GetAssignedTotal() != 1 {
		t.Errorf("got %v", w)
	}
	drain := func(undo bool) *taskraftv1.DrainWorkerResponse {
		t.Helper()
		resp, err := m.DrainWorker(t.Context(), &taskraftv1.DrainWorkerRequest{WorkerId: "w1", Undo: undo})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	if r := drain(false); r.GetOutcome() != taskraftv1.Outcome_ACCEPTED || r.GetWorker().GetState() != taskraftv1.WorkerState_WORKER_DRAINING {
		t.Errorf("drain: %v", r)
	}
	if r := drain(false); r.GetOutcome() != taskraftv1.Outcome_DUPLICATE {
		t.Errorf("drain again: %v", r.GetOutcome())
	}
	resp, err := m.RequestTask(t.Context(), &taskraftv1.RequestTaskRequest{
		WorkerId: "w1", BootId: "w1-boot", Queues: []*taskraftv1.QueueWeight{{Queue: "default"}}, Slots: 8, Max: 1, PollSeq: 2, Held: []uint64{a.GetFence()},
	})
	if err != nil || len(resp.GetAssignments()) != 0 {
		t.Errorf("a drained worker was given %v (%v)", resp.GetAssignments(), err)
	}
	drain(true)
	if b := pull(t, m, "w1", 3, "default", a.GetFence()); b.GetTask() != later {
		t.Errorf("after the drain got task %d, want %d", b.GetTask(), later)
	}
	_, err = m.RemoveWorker(t.Context(), &taskraftv1.RemoveWorkerRequest{WorkerId: "w1"})
	refused(t, err, codes.FailedPrecondition, reason.WorkerBusy, "")
	if _, err = m.RemoveWorker(t.Context(), &taskraftv1.RemoveWorkerRequest{WorkerId: "w1", Force: true}); err != nil {
		t.Fatal(err)
	}
	if o := complete(t, m, "w1", a.GetTask(), a.GetFence(), "late"); o != taskraftv1.Outcome_STALE_TIMED_OUT {
		t.Errorf("a removed worker's completion is answered %v", o)
	}
	if w := get(); w.GetState() != taskraftv1.WorkerState_WORKER_GONE || w.GetSession() != 0 {
		t.Errorf("after its removal: %v", w)
	}
	list, err := m.ListWorkers(t.Context(), &taskraftv1.ListWorkersRequest{})
	if err != nil || len(list.GetWorkers()) != 0 {
		t.Errorf("list: %v, %v", list.GetWorkers(), err)
	}
}

// TestWorkerPages pages through workers that are gone.
func TestWorkerPages(t *testing.T) {
	m := startMaster(t)
	for _, w := range []string{"w3", "w1", "w2"} {
		submit(t, m, &spec{Queue: w})
		pull(t, m, w, 1, w)
	}
	var got []string
	for token := ""; ; {
		page, err := m.ListWorkers(t.Context(), &taskraftv1.ListWorkersRequest{PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range page.GetWorkers() {
			got = append(got, w.GetWorkerId())
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if len(got) != 3 || got[0] != "w1" || got[2] != "w3" {
		t.Errorf("got %v", got)
	}
}

// TestBadWorkerCalls: calls of operators about workers that are refused.
func TestBadWorkerCalls(t *testing.T) {
	m := startMaster(t)
	t.Run("E27", func(t *testing.T) {
		_, err := m.ListWorkers(t.Context(), &taskraftv1.ListWorkersRequest{PageToken: "((("})
		refused(t, err, codes.InvalidArgument, reason.InvalidField, "page_token")
		_, err = m.ListWorkers(t.Context(), &taskraftv1.ListWorkersRequest{PageSize: -1})
		refused(t, err, codes.InvalidArgument, reason.InvalidField, "page_size")
	})
	for _, id := range []string{"", "../w", "a\x00b"} {
		_, err := m.GetWorker(t.Context(), &taskraftv1.GetWorkerRequest{WorkerId: id})
		refused(t, err, codes.InvalidArgument, reason.InvalidField, "worker_id")
		_, err = m.DrainWorker(t.Context(), &taskraftv1.DrainWorkerRequest{WorkerId: id})
		refused(t, err, codes.InvalidArgument, reason.InvalidField, "worker_id")
		_, err = m.RemoveWorker(t.Context(), &taskraftv1.RemoveWorkerRequest{WorkerId: id})
		refused(t, err, codes.InvalidArgument, reason.InvalidField, "worker_id")
	}
	_, err := m.GetWorker(t.Context(), &taskraftv1.GetWorkerRequest{WorkerId: "w9"})
	refused(t, err, codes.NotFound, reason.WorkerNotFound, "")
	_, err = m.DrainWorker(t.Context(), &taskraftv1.DrainWorkerRequest{WorkerId: "w9"})
	refused(t, err, codes.NotFound, reason.WorkerNotFound, "")
}
