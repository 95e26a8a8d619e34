package rpc_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// told reads a stream of events to its end.
func told(t *testing.T, m *master, req *taskraftv1.WatchEventsRequest) (all []*taskraftv1.Event, cursor string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := m.WatchEvents(ctx, req)
	for err == nil {
		var resp *taskraftv1.WatchEventsResponse
		if resp, err = s.Recv(); err == nil {
			all, cursor = append(all, resp.GetEvents()...), resp.GetCursor()
		}
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return all, cursor
}

func types(all []*taskraftv1.Event) (out []string) {
	for _, e := range all {
		out = append(out, e.GetType())
	}
	return out
}

func TestEvents(t *testing.T) {
	m := startMaster(t)
	id := submit(t, m, &taskraftv1.TaskSpec{Queue: "q", Kind: "k"})
	a := pull(t, m, "w1", 1, "q")
	complete(t, m, "w1", id, a.GetFence(), "done")
	other := submit(t, m, &taskraftv1.TaskSpec{Queue: "other"})

	all, end := told(t, m, &taskraftv1.WatchEventsRequest{Task: id, Once: true})
	if got := types(all); !slices.Equal(got, []string{"created", "assigned", "completed"}) {
		t.Fatalf("of task %d is told %v", id, got)
	}
	last := all[2]
	if last.GetPrincipal() != "worker:w1" || last.GetWorkerId() != "w1" || last.GetFence() != a.GetFence() || last.GetCause() != "completed" ||
		last.GetState() != taskraftv1.TaskState_SUCCEEDED || last.GetQueue() != "q" || last.GetKind() != "k" || last.GetTime() == nil {
		t.Errorf("the completion is %v", last)
	}
	// A page at a time is the same, and what a stream left off is what a page begins with.
	var paged []*taskraftv1.Event
	req := &taskraftv1.ListEventsRequest{Since: "1", Types: []string{"created,assigned", "completed"}, PageSize: 1}
	for {
		page, err := m.ListEvents(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.GetEvents()) == 0 {
			break
		}
		paged = append(paged, page.GetEvents()...)
		req.Since = page.GetNext()
	}
	if got := types(paged); !slices.Equal(got, []string{"created", "assigned", "completed", "created"}) || paged[3].GetTask() != other {
		t.Errorf("paged through %v", got)
	}
	if some, _ := told(t, m, &taskraftv1.WatchEventsRequest{Since: paged[0].GetCursor(), Queue: "q", Limit: 1}); len(some) != 1 || some[0].GetCursor() != all[1].GetCursor() {
		t.Errorf("one event behind %s is %v", paged[0].GetCursor(), some)
	}
	if none, again := told(t, m, &taskraftv1.WatchEventsRequest{Since: end, Once: true}); len(none) != 0 || again != end {
		t.Errorf("behind the end: %v, %s", none, again)
	}
}

// TestEventsOfTheFuture: a cursor that this master has not reached is waited for.
func TestEventsOfTheFuture(t *testing.T) {
	m := startMaster(t)
	page, err := m.ListEvents(t.Context(), &taskraftv1.ListEventsRequest{Since: "now"})
	if err != nil {
		t.Fatal(err)
	}
	next := page.GetPosition().GetIndex() + 2
	future := strconv.FormatUint(next, 10)
	page, err = m.ListEvents(t.Context(), &taskraftv1.ListEventsRequest{Since: future, Wait: durationpb.New(time.Millisecond)})
	if err != nil || len(page.GetEvents()) != 0 || page.GetNext() != future+".0" {
		t.Fatalf("now it is %v, %v", page, err)
	}
	first := make(chan []*taskraftv1.Event)
	go func() {
		all, _ := told(t, m, &taskraftv1.WatchEventsRequest{Since: future, Limit: 1})
		first <- all
	}()
	for range 4 {
		submit(t, m, &taskraftv1.TaskSpec{Queue: "q"})
	}
	if all := <-first; len(all) != 1 || all[0].GetIndex() < next {
		t.Errorf("from entry %d on: %v", next, all)
	}
}

func TestBadEventRequests(t *testing.T) {
	m := startMaster(t)
	for field, req := range map[string]*taskraftv1.ListEventsRequest{
		"since":     {Since: "yesterday"},
		"queue":     {Queue: "Q!"},
		"worker_id": {WorkerId: "a b"},
		"types":     {Types: []string{"created", "died"}},
		"page_size": {PageSize: -1},
		"wait":      {Wait: durationpb.New(time.Hour)},
	} {
		_, err := m.ListEvents(t.Context(), req)
		refused(t, err, codes.InvalidArgument, reason.InvalidField, field)
	}
	s, err := m.WatchEvents(t.Context(), &taskraftv1.WatchEventsRequest{Limit: -1, Since: "1.2.3"})
	if err == nil {
		_, err = s.Recv()
	}
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "since")
}
