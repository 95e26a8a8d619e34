package rpc_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// TestSearch finds tasks by all that a filter can say, and by filters as the SDK
// writes them.
func TestSearch(t *testing.T) {
	m := startMaster(t)
	odd := map[string]string{"tenant": `a "b" = c`, "a key": "", "ü": "AND state=DEAD"}
	first := submit(t, m, &spec{Queue: "mail", Kind: "send it", Labels: odd})
	second := submit(t, m, &spec{Queue: "mail", Labels: map[string]string{"tenant": "7"}})
	third := submit(t, m, &spec{Queue: "news", Labels: map[string]string{"tenant": "7", "zone": "b"}})
	resp, err := send(t.Context(), m, nil, many(2, nil), 2)
	if err != nil {
		t.Fatal(err)
	}
	if a := pull(t, m, "w1", 1, "news"); a.GetTask() != third {
		t.Fatalf("got task %d", a.GetTask())
	}
	if _, err := m.CancelTask(t.Context(), &taskraftv1.CancelTaskRequest{Id: second}); err != nil {
		t.Fatal(err)
	}
	got, err := m.GetTask(t.Context(), &taskraftv1.GetTaskRequest{Id: third})
	if err != nil {
		t.Fatal(err)
	}
	at := got.GetTask().GetSubmitTime().AsTime()
	batch := []uint64{resp.GetFirstTask() + 1, resp.GetFirstTask()}
	for _, c := range []struct {
		filter string
		want   []uint64
	}{
		{client.TaskFilter{Labels: odd}.String(), []uint64{first}},
		{client.TaskFilter{Kind: "send it"}.String(), []uint64{first}},
		{client.TaskFilter{Labels: map[string]string{"tenant": "7"}}.String(), []uint64{third, second}},
		{client.TaskFilter{Labels: map[string]string{"tenant": "7"}, States: []string{"READY", "RUNNING"}}.String(), []uint64{third}},
		{client.TaskFilter{Labels: map[string]string{"tenant": "8"}}.String(), nil},
		{client.TaskFilter{Batch: resp.GetId()}.String(), batch},
		{client.TaskFilter{Batch: 99}.String(), nil},
		{client.TaskFilter{Worker: "w1"}.String(), []uint64{third}},
		{client.TaskFilter{Error: "00000000000000ff"}.String(), nil},
		{client.TaskFilter{Since: at, Queue: "news"}.String(), []uint64{third}},
		{client.TaskFilter{Until: at, Queue: "news"}.String(), nil},
		{client.TaskFilter{Since: time.Now().Add(time.Hour)}.String(), nil},
		{`queue="mail" AND state=ready,cancelled`, []uint64{second, first}},
		{"id>=2 id<=3", []uint64{third, second}},
		{"", append(batch, third, second, first)},
	} {
		list, err := m.ListTasks(t.Context(), &taskraftv1.ListTasksRequest{Filter: c.filter, Consistency: taskraftv1.Consistency_LINEARIZABLE})
		if err != nil {
			t.Errorf("%s: %v", c.filter, err)
			continue
		}
		var ids []string
		for _, row := range list.GetTasks() {
			ids = append(ids, strconv.FormatUint(row.GetId(), 10))
		}
		var want []string
		for _, id := range c.want {
			want = append(want, strconv.FormatUint(id, 10))
		}
		if strings.Join(ids, " ") != strings.Join(want, " ") {
			t.Errorf("%s: found %v, want %v", c.filter, ids, want)
		}
	}
	for _, bad := range []string{
		"state", "state=", "state=SLEEPING", "queue=a queue=b", "label.=x", "label.a", `kind="x`, "batch=0", "batch=x", "id>=0", "id=1", "error=12",
		"time>=now", "time<1800-01-01T00:00:00Z", "colour=red", "time>2026-01-01T00:00:00Z", strings.Repeat("label.a=b ", 17),
	} { // E27
		_, err := m.ListTasks(t.Context(), &taskraftv1.ListTasksRequest{Filter: bad})
		refused(t, err, codes.InvalidArgument, reason.InvalidField, "filter")
	}
	for field, labels := range map[string]map[string]string{ // E26
		"labels": {strings.Repeat("k", 65): "x"}, "labels[k]": {"k": strings.Repeat("v", 257)},
	} {
		_, err := m.SubmitTask(t.Context(), &taskraftv1.SubmitTaskRequest{Task: &spec{Labels: labels}})
		refused(t, err, codes.InvalidArgument, reason.InvalidField, field)
	}
	_, err = m.SubmitTask(t.Context(), &taskraftv1.SubmitTaskRequest{Task: &spec{Labels: manyLabels(17)}})
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "labels")
}

// TestCancelTasks cancels what matches and nothing else, and says how many.
func TestCancelTasks(t *testing.T) {
	m := startMaster(t)
	const n = 6000 // more than one entry may cancel
	if _, err := send(t.Context(), m, nil, many(n, func(i int, s *spec) { s.Queue = []string{"even", "odd"}[i%2] }), 1000); err != nil {
		t.Fatal(err)
	}
	req := &taskraftv1.CancelTasksRequest{Filter: "queue=even", Reason: "unwanted", ValidateOnly: true}
	counted, err := m.CancelTasks(t.Context(), req)
	if err != nil || counted.GetCount() != n/2 || counted.GetSweep() != 0 {
		t.Fatalf("counted %v, %v", counted, err)
	}
	req.ValidateOnly = false
	begun, err := m.CancelTasks(t.Context(), req)
	if err != nil || begun.GetCount() != n/2 {
		t.Fatalf("begun %v, %v", begun, err)
	}
	done := func(id uint64) *taskraftv1.Sweep {
		for {
			resp, err := m.GetSweep(t.Context(), &taskraftv1.GetSweepRequest{Id: id})
			if err != nil {
				t.Fatal(err)
			}
			if resp.GetSweep().GetFinishTime() != nil {
				return resp.GetSweep()
			}
		}
	}
	if s := done(begun.GetSweep()); s.GetCancelled() != n/2 || s.GetEnded() != 0 || s.GetLeft() != 0 || s.GetReason() != "unwanted" {
		t.Errorf("swept %v", s)
	}
	purge := &taskraftv1.PurgeQueueRequest{Name: "odd", ValidateOnly: true}
	pull(t, m, "w1", 1, "odd")
	if got, err := m.PurgeQueue(t.Context(), purge); err != nil || got.GetCount() != n/2-1 {
		t.Errorf("a purge would cancel %v, %v", got, err)
	}
	purge.Running = true
	if got, err := m.PurgeQueue(t.Context(), purge); err != nil || got.GetCount() != n/2 {
		t.Errorf("a purge with what runs would cancel %v, %v", got, err)
	}
	purge.ValidateOnly, purge.Running = false, false
	purged, err := m.PurgeQueue(t.Context(), purge)
	if err != nil || purged.GetCount() != n/2-1 {
		t.Fatalf("purged %v, %v", purged, err)
	}
	done(purged.GetSweep())
	q, err := m.GetQueue(t.Context(), &taskraftv1.GetQueueRequest{Name: "odd"})
	if err != nil || q.GetQueue().GetCancelled() != n/2-1 || q.GetQueue().GetRunning() != 1 || q.GetQueue().GetReady() != 0 {
		t.Errorf("the purged queue: %v, %v", q, err)
	}
	for _, bad := range []string{"", "  ", "state=DEAD", "error=00000000000000ff", "nonsense"} {
		_, err := m.CancelTasks(t.Context(), &taskraftv1.CancelTasksRequest{Filter: bad})
		refused(t, err, codes.InvalidArgument, reason.InvalidField, "filter")
	}
	_, err = m.GetSweep(t.Context(), &taskraftv1.GetSweepRequest{Id: 99})
	refused(t, err, codes.NotFound, reason.SweepNotFound, "")
	_, err = m.PurgeQueue(t.Context(), &taskraftv1.PurgeQueueRequest{Name: "nowhere"})
	refused(t, err, codes.NotFound, reason.QueueNotFound, "")
	_, err = m.PurgeQueue(t.Context(), &taskraftv1.PurgeQueueRequest{Name: "../x"})
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "name")
}
