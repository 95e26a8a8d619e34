package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// many returns n tasks.
func many(n int, change func(i int, s *spec)) []*spec {
	out := make([]*spec, n)
	for i := range out {
		out[i] = &spec{Queue: "bulk", Payload: fmt.Appendf(nil, "%d", i)}
		if change != nil {
			change(i, out[i])
		}
	}
	return out
}

// send sends a batch in messages of so many tasks.
func send(ctx context.Context, m *master, b *taskraftv1.BatchSpec, tasks []*spec, each int) (*taskraftv1.SubmitBatchResponse, error) {
	stream, err := m.SubmitBatch(ctx)
	if err != nil {
		return nil, err
	}
	for at := 0; at < len(tasks) || at == 0; at += each {
		req := &taskraftv1.SubmitBatchRequest{Tasks: tasks[at:min(at+each, len(tasks))]}
		if at == 0 {
			req.Batch = b
		}
		if err := stream.Send(req); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	return stream.CloseAndRecv()
}

func TestBatchStream(t *testing.T) {
	m := startMaster(t)
	const n = 10_000
	b := &taskraftv1.BatchSpec{Name: "big", RequestId: "b1"}
	resp, err := send(t.Context(), m, b, many(n, nil), 1000)
	if err != nil || resp.GetTotal() != n || resp.GetExisting() {
		t.Fatalf("got %v, %v", resp, err)
	}
	got, err := m.GetTask(t.Context(), &taskraftv1.GetTaskRequest{Id: resp.GetFirstTask() + 9876})
	if err != nil || string(got.GetTask().GetSpec().GetPayload()) != "9876" || got.GetTask().GetBatch() != resp.GetId() {
		t.Errorf("task 9876: %v, %v", got, err)
	}
	for _, each := range []int{1000, 500} { // the same again is the same batch, however it is cut
		again, err := send(t.Context(), m, b, many(n, nil), each)
		if err != nil || again.GetId() != resp.GetId() || !again.GetExisting() || again.GetFirstTask() != resp.GetFirstTask() {
			t.Errorf("again in messages of %d: %v, %v", each, again, err)
		}
	}
	_, err = send(t.Context(), m, b, many(n, func(i int, s *spec) { s.Kind = "other" }), 1000)
	refused(t, err, codes.AlreadyExists, reason.RequestIDConflict, "")
	list, err := m.ListBatches(t.Context(), &taskraftv1.ListBatchesRequest{})
	if err != nil || len(list.GetBatches()) != 1 || list.GetBatches()[0].GetReady()+list.GetBatches()[0].GetScheduled() != n {
		t.Errorf("listed %v, %v", list, err)
	}
	cancelled, err := m.CancelBatch(t.Context(), &taskraftv1.CancelBatchRequest{Id: resp.GetId(), Reason: "unwanted"})
	if err != nil || cancelled.GetOutcome() != taskraftv1.Outcome_ACCEPTED || cancelled.GetCount() != n {
		t.Errorf("cancel: %v, %v", cancelled, err)
	}
	done, err := m.WaitBatch(t.Context(), &taskraftv1.WaitBatchRequest{Id: resp.GetId()})
	if err != nil || !done.GetDone() || done.GetBatch().GetCancelled() != n || done.GetBatch().GetState() != taskraftv1.BatchState_BATCH_FINISHED {
		t.Errorf("wait: %v, %v", done, err)
	}
	now, err := m.WaitBatch(t.Context(), &taskraftv1.WaitBatchRequest{Id: resp.GetId(), Timeout: durationpb.New(0)})
	if err != nil || !now.GetDone() {
		t.Errorf("wait again: %v, %v", now, err)
	}
}

// TestBrokenBatchStream: a stream that ends without its end leaves nothing, and
// the same request id goes on with what was staged.
func TestBrokenBatchStream(t *testing.T) {
	m := startMaster(t)
	b := &taskraftv1.BatchSpec{RequestId: "b1"}
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := m.SubmitBatch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	tasks := many(2500, nil)
	for at := range 2 {
		if err := stream.Send(&taskraftv1.SubmitBatchRequest{Batch: b, Tasks: tasks[1000*at : 1000*(at+1)]}); err != nil {
			t.Fatal(err)
		}
		b = nil
	}
	cancel()
	if _, err := stream.CloseAndRecv(); status.Code(err) != codes.Canceled {
		t.Errorf("the broken stream: %v", err)
	}
	list, err := m.ListTasks(t.Context(), &taskraftv1.ListTasksRequest{Consistency: taskraftv1.Consistency_LINEARIZABLE})
	if err != nil || len(list.GetTasks()) != 0 {
		t.Errorf("%d tasks are there, %v", len(list.GetTasks()), err)
	}
	resp, err := send(t.Context(), m, &taskraftv1.BatchSpec{RequestId: "b1"}, tasks, 1000)
	if err != nil || resp.GetTotal() != 2500 {
		t.Errorf("the second try: %v, %v", resp, err)
	}
}

func TestBadBatches(t *testing.T) {
	m := startMaster(t)
	at := func(n, i int, change func(*spec)) []*spec {
		return many(n, func(k int, s *spec) {
			if k == i {
				change(s)
			}
		})
	}
	parents := make([]uint32, 10_001)
	cases := []struct {
		row, name, field string
		code             codes.Code
		reason           string
		batch            *taskraftv1.BatchSpec
		tasks            []*spec
	}{
		{"E07", "none", "tasks", codes.InvalidArgument, reason.InvalidField, nil, nil},
		{"E07", "bad item in a later message", "tasks[1500].priority", codes.InvalidArgument, reason.InvalidField, nil, at(2000, 1500, func(s *spec) { s.Priority = new(int32(101)) })},
		{"E02", "name", "batch.name", codes.InvalidArgument, reason.InvalidField, &taskraftv1.BatchSpec{Name: "a\x07"}, many(1, nil)},
		{"E13", "request id of a task", "tasks[0].request_id", codes.InvalidArgument, reason.InvalidField, nil, at(2, 0, func(s *spec) { s.RequestId = "r" })},
		{"E25", "itself", "tasks[3].after_items", codes.InvalidArgument, reason.InvalidField, nil, at(5, 3, func(s *spec) { s.AfterItems = []uint32{3} })},
		{"E25", "circle of three, staged", "tasks[100].after_items", codes.InvalidArgument, reason.InvalidField, nil, many(3000, func(i int, s *spec) {
			if next := map[int]uint32{100: 1500, 1500: 2999, 2999: 100}[i]; next != 0 {
				s.AfterItems = []uint32{next}
			}
		})},
		{"E25", "too many", "tasks[0].after", codes.InvalidArgument, reason.InvalidField, nil, at(1, 0, func(s *spec) { s.AfterItems = parents })},
		{"E25", "missing parent, staged", "", codes.NotFound, reason.ParentNotFound, nil, at(1500, 1200, func(s *spec) { s.After = []uint64{4711} })},
		{"E25", "place beyond the end, staged", "", codes.InvalidArgument, reason.InvalidField, nil, at(1500, 2, func(s *spec) { s.AfterItems = []uint32{1500} })},
		{"E12", "policy", "tasks[0].after_policy", codes.InvalidArgument, reason.InvalidField, nil, at(1, 0, func(s *spec) { s.AfterPolicy = 99 })},
		{"E07", "follow-up with a unique key", "batch.on_success[0].unique_key", codes.InvalidArgument, reason.InvalidField, &taskraftv1.BatchSpec{OnSuccess: []*spec{{UniqueKey: "x"}}}, many(1, nil)},
		{"E07", "follow-up of a task with a unique key", "tasks[0].on_dead[0].unique_key", codes.InvalidArgument, reason.InvalidField, nil, many(1, func(_ int, s *spec) { s.OnDead = []*spec{{UniqueKey: "x"}} })},
		{"E07", "follow-up with a request id", "batch.follow_up[0].request_id", codes.InvalidArgument, reason.InvalidField, &taskraftv1.BatchSpec{FollowUp: []*spec{{RequestId: "x"}}}, many(1, nil)},
		{"E07", "too many follow-ups", "batch.on_success", codes.InvalidArgument, reason.InvalidField, &taskraftv1.BatchSpec{OnSuccess: many(101, nil)}, many(1, nil)},
	}
	for _, c := range cases {
		t.Run(c.row+"/"+c.name, func(t *testing.T) {
			_, err := send(t.Context(), m, c.batch, c.tasks, 1000)
			refused(t, err, c.code, c.reason, c.field)
		})
	}
	list, err := m.ListTasks(t.Context(), &taskraftv1.ListTasksRequest{Consistency: taskraftv1.Consistency_LINEARIZABLE})
	if err != nil || len(list.GetTasks()) != 0 {
		t.Errorf("after refusals the table holds %d tasks (%v)", len(list.GetTasks()), err)
	}
	_, err = m.GetBatch(t.Context(), &taskraftv1.GetBatchRequest{Id: 99})
	refused(t, err, codes.NotFound, reason.BatchNotFound, "")
	_, err = m.CancelBatch(t.Context(), &taskraftv1.CancelBatchRequest{})
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "id")
}

// TestBadParents: E25 for tasks without a batch.
func TestBadParents(t *testing.T) {
	m := startMaster(t)
	_, err := m.SubmitTask(t.Context(), &taskraftv1.SubmitTaskRequest{Task: &spec{After: []uint64{99}}})
	refused(t, err, codes.NotFound, reason.ParentNotFound, "")
	_, err = m.SubmitTask(t.Context(), &taskraftv1.SubmitTaskRequest{Task: &spec{After: []uint64{0}}})
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "after")
	_, err = m.SubmitTask(t.Context(), &taskraftv1.SubmitTaskRequest{Task: &spec{AfterItems: []uint32{0}}})
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "after_items")
	_, err = m.SubmitTasks(t.Context(), &taskraftv1.SubmitTasksRequest{Tasks: []*spec{{}, {AfterItems: []uint32{2}}}})
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "tasks[1].after_items")
	_, err = m.SubmitTasks(t.Context(), &taskraftv1.SubmitTasksRequest{Tasks: []*spec{{AfterItems: []uint32{1}}, {AfterItems: []uint32{0}}}})
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "tasks[0].after_items")
}

// TestObstructedBatch: a batch one task of which finds its unique key taken or its
// queue full is refused as a whole, whether it comes in one message or is staged.
func TestObstructedBatch(t *testing.T) {
	m := startMaster(t)
	holder := submit(t, m, &spec{Queue: "other", UniqueKey: "k"})
	if _, err := m.UpdateQueue(t.Context(), &taskraftv1.UpdateQueueRequest{Name: "bulk", Settings: &taskraftv1.QueueSettings{MaxTasks: proto.Uint64(6)}}); err != nil {
		t.Fatal(err)
	}
	key := func(at int) func(int, *spec) {
		return func(i int, s *spec) {
			if i == at {
				s.UniqueKey = "k"
			}
		}
	}
	for _, c := range []struct {
		name, field, id string
		code            codes.Code
		why             string
		tasks           []*spec
	}{
		{"taken", "tasks[4].unique_key", strconv.FormatUint(holder, 10), codes.AlreadyExists, reason.UniqueKeyTaken, many(5, key(4))},
		{"twice", "tasks[3].unique_key", "", codes.AlreadyExists, reason.UniqueKeyTaken, many(5, func(i int, s *spec) { s.UniqueKey = []string{"a", "b", "c", "a", "b"}[i] })},
		{"full", "tasks[6].queue", "", codes.ResourceExhausted, reason.QueueFull, many(7, nil)},
	} {
		for _, each := range []int{10, 2} {
			_, err := send(t.Context(), m, nil, c.tasks, each)
			refused(t, err, c.code, c.why, c.field)
			for _, d := range status.Convert(err).Details() {
				if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetMetadata()["id"] != c.id {
					t.Errorf("%s: the refusal names task %q, want %q", c.name, info.GetMetadata()["id"], c.id)
				}
			}
		}
	}
	q, err := m.GetQueue(t.Context(), &taskraftv1.GetQueueRequest{Name: "bulk"})
	if err != nil || q.GetQueue().GetSubmittedTotal() != 0 || q.GetQueue().GetScheduled() != 0 {
		t.Errorf("something of the refused batches is there: %v, %v", q, err)
	}
	if _, err := send(t.Context(), m, nil, many(6, nil), 2); err != nil {
		t.Errorf("a batch that just fits: %v", err)
	}
}

// TestDeleteRefusals: a task that others depend on is not deleted.
func TestDeleteRefusals(t *testing.T) {
	m := startMaster(t)
	remove := func(id uint64) error {
		_, err := m.DeleteTask(t.Context(), &taskraftv1.DeleteTaskRequest{Id: id})
		return err
	}
	resp, err := send(t.Context(), m, nil, many(2, nil), 2)
	if err != nil {
		t.Fatal(err)
	}
	first := resp.GetFirstTask()
	refused(t, remove(first), codes.FailedPrecondition, reason.NotTerminal, "")
	for i, want := range []string{reason.BatchUnfinished, ""} {
		if _, err := m.CancelTask(t.Context(), &taskraftv1.CancelTaskRequest{Id: first + uint64(i)}); err != nil {
			t.Fatal(err)
		}
		if want != "" {
			refused(t, remove(first), codes.FailedPrecondition, want, "")
		} else if err := remove(first); err != nil {
			t.Error(err)
		}
	}
	refused(t, remove(first), codes.NotFound, reason.Forgotten, "")
	refused(t, remove(first+99), codes.NotFound, reason.TaskNotFound, "")
	refused(t, remove(0), codes.InvalidArgument, reason.InvalidField, "id")
}

// TestFollowUps: what a completion asks for is submitted with it, and a completion
// with a follow-up that could not be is refused before it does anything.
func TestFollowUps(t *testing.T) {
	m := startMaster(t)
	parent := submit(t, m, &spec{Queue: "q", OnSuccess: []*spec{{Queue: "then", Kind: "mail"}}})
	child := submit(t, m, &spec{Queue: "child", After: []uint64{parent}})
	before, err := m.GetTask(t.Context(), &taskraftv1.GetTaskRequest{Id: child})
	if err != nil || before.GetTask().GetState() != taskraftv1.TaskState_SCHEDULED || before.GetTask().GetWaitsFor() != 1 {
		t.Errorf("the child: %v, %v", before, err)
	}
	a := pull(t, m, "w1", 1, "q")
	complete := func(follow ...*spec) (*taskraftv1.CompleteTaskResponse, error) {
		return m.CompleteTask(t.Context(), &taskraftv1.CompleteTaskRequest{WorkerId: "w1", BootId: "w1-boot", Completion: &taskraftv1.Completion{
			Task: a.GetTask(), Fence: a.GetFence(), FollowUp: follow,
		}})
	}
	_, err = complete(&spec{Queue: "../x"})
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "completion.follow_up[0].queue")
	good := &spec{Queue: "next", Kind: "sum", Payload: []byte("7")}
	for _, want := range []taskraftv1.Outcome{taskraftv1.Outcome_ACCEPTED, taskraftv1.Outcome_DUPLICATE} {
		resp, err := complete(good)
		if err != nil || resp.GetOutcome() != want {
			t.Fatalf("complete: %v, %v, want %v", resp, err, want)
		}
	}
	if resp, err := complete(); err != nil || resp.GetOutcome() != taskraftv1.Outcome_CONFLICT {
		t.Errorf("complete with other follow-ups: %v, %v", resp, err)
	}
	next := pull(t, m, "w1", 2, "next")
	if next.GetKind() != "sum" || string(next.GetPayload()) != "7" {
		t.Errorf("the follow-up is %v", next)
	}
	then := pull(t, m, "w1", 3, "then", next.GetFence())
	if then.GetKind() != "mail" {
		t.Errorf("on_success is %v", then)
	}
	if got := pull(t, m, "w1", 4, "child", next.GetFence(), then.GetFence()); got.GetTask() != child {
		t.Errorf("the child is %v", got)
	}
}

func TestDead(t *testing.T) {
	m := startMaster(t)
	for i := range 5 {
		submit(t, m, &spec{Queue: "q", Kind: []string{"a", "b"}[i%2]})
		a := pull(t, m, "w1", uint64(i+1), "q")
		_, err := m.FailTask(t.Context(), &taskraftv1.FailTaskRequest{WorkerId: "w1", BootId: "w1-boot", Failure: &taskraftv1.Failure{
			Task: a.GetTask(), Fence: a.GetFence(), Error: fmt.Sprintf("row %d: no such user 'u%d'", i, i), Permanent: true,
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	fresh := taskraftv1.Consistency_LINEARIZABLE
	groups, err := m.ListDeadGroups(t.Context(), &taskraftv1.ListDeadGroupsRequest{Consistency: fresh})
	if err != nil || len(groups.GetGroups()) != 2 {
		t.Fatalf("groups %v, %v", groups, err)
	}
	count := map[string]uint64{}
	var a *taskraftv1.DeadGroup
	for _, g := range groups.GetGroups() {
		count[g.GetKind()] = g.GetCount()
		if g.GetKind() == "a" {
			a = g
		}
	}
	if count["a"] != 3 || count["b"] != 2 || a.GetError() != "row #: no such user #" || a.GetExample() != 5 {
		t.Errorf("groups %v", groups)
	}
	page, err := m.ListDeadGroups(t.Context(), &taskraftv1.ListDeadGroupsRequest{Consistency: fresh, PageSize: 1})
	if err != nil || page.GetNextPageToken() == "" {
		t.Fatalf("first page %v, %v", page, err)
	}
	rest, err := m.ListDeadGroups(t.Context(), &taskraftv1.ListDeadGroupsRequest{Consistency: fresh, PageSize: 1, PageToken: page.GetNextPageToken()})
	if err != nil || rest.GetGroups()[0].GetId() == page.GetGroups()[0].GetId() || rest.GetNextPageToken() != "" {
		t.Errorf("second page %v, %v", rest, err)
	}
	only := &taskraftv1.DeadFilter{Group: a.GetId()}
	list, err := m.ListDead(t.Context(), &taskraftv1.ListDeadRequest{Consistency: fresh, Filter: only, PageSize: 2})
	if err != nil || len(list.GetTasks()) != 2 || list.GetTasks()[0].GetId() != 5 || list.GetNextPageToken() == "" {
		t.Fatalf("dead of the group: %v, %v", list, err)
	}
	for _, dry := range []bool{true, false} {
		got, err := m.RetryDead(t.Context(), &taskraftv1.RetryDeadRequest{Filter: only, ValidateOnly: dry})
		if err != nil || got.GetCount() != 3 {
			t.Errorf("retry, only counting %v: %v, %v", dry, got, err)
		}
	}
	if got, err := m.RetryDead(t.Context(), &taskraftv1.RetryDeadRequest{ValidateOnly: true}); err != nil || got.GetCount() != 2 {
		t.Errorf("left: %v, %v", got, err)
	}
	for _, bad := range []*taskraftv1.DeadFilter{{Group: "xyz"}, {Group: "0000000000000000"}} {
		_, err = m.RetryDead(t.Context(), &taskraftv1.RetryDeadRequest{Filter: bad})
		refused(t, err, codes.InvalidArgument, reason.InvalidField, "filter.group")
	}
	_, err = m.ListDead(t.Context(), &taskraftv1.ListDeadRequest{PageToken: list.GetNextPageToken()}) // E27: of another list
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "page_token")
}
