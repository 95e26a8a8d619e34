package dashboard

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	pageSize = 50
	stale    = taskraftv1.Consistency_STALE
)

// overview is what one looks at first.
type overview struct {
	Status   cluster.Status
	Members  []member
	Sum      taskraftv1.Queue
	Sessions int
	Slots    int
	Oldest   string
	Queues   []*taskraftv1.Queue // the busiest
	Samples  []sample
}

// member is a master with what it lags behind.
type member struct {
	cluster.Member
	Behind uint64
}

func (h *Handler) masters(ctx context.Context) []member {
	var out []member
	var newest uint64
	list := h.members.get(ctx, h.cfg.Node)
	for _, m := range list {
		if m.Reachable {
			newest = max(newest, m.AppliedIndex)
		}
	}
	for _, m := range list {
		out = append(out, member{m, newest - min(m.AppliedIndex, newest)})
	}
	return out
}

func (h *Handler) allQueues(ctx context.Context) ([]*taskraftv1.Queue, error) {
	var all []*taskraftv1.Queue
	token := ""
	for {
		resp, err := h.queues.ListQueues(ctx, &taskraftv1.ListQueuesRequest{PageSize: 1000, PageToken: token, Consistency: stale})
		if err != nil {
			return nil, err
		}
		all = append(all, resp.GetQueues()...)
		if token = resp.GetNextPageToken(); token == "" || len(all) >= 2000 {
			return all, nil
		}
	}
}

func (h *Handler) overview(r *http.Request) (string, any, error) {
	queues, err := h.allQueues(r.Context())
	if err != nil {
		return "", nil, err
	}
	o := &overview{Status: h.cfg.Node.Status(), Members: h.masters(r.Context()), Oldest: "–"}
	o.Samples, _ = h.history.get()
	for _, q := range queues {
		o.Sum.Scheduled += q.GetScheduled()
		o.Sum.Ready += q.GetReady()
		o.Sum.Running += q.GetRunning() + q.GetStopping()
		o.Sum.Succeeded += q.GetSucceeded()
		o.Sum.Dead += q.GetDead()
		o.Sum.Cancelled += q.GetCancelled()
		o.Sum.SubmittedTotal += q.GetSubmittedTotal()
		if t := q.GetOldestReadyTime(); t != nil && (o.Sum.OldestReadyTime == nil || t.AsTime().Before(o.Sum.OldestReadyTime.AsTime())) {
			o.Sum.OldestReadyTime = t
		}
	}
	if t := o.Sum.GetOldestReadyTime(); t != nil {
		o.Oldest = coarse(time.Since(t.AsTime()))
	}
	live := func(q *taskraftv1.Queue) int64 {
		return int64(q.GetReady() + q.GetRunning() + q.GetScheduled() + q.GetDead())
	}
	slices.SortStableFunc(queues, func(a, b *taskraftv1.Queue) int { return int(live(b) - live(a)) })
	o.Queues = queues[:min(len(queues), 8)]
	for _, s := range h.sessions(r.Context()) {
		o.Sessions++
		o.Slots += s.Slots
	}
	return "Overview", o, nil
}

func (h *Handler) queueList(r *http.Request) (string, any, error) {
	queues, err := h.allQueues(r.Context())
	return "Queues", queues, err
}

// queuePage is one queue and its newest tasks.
type queuePage struct {
	*taskraftv1.Queue
	Tasks []*taskraftv1.Task
}

func (h *Handler) queue(r *http.Request) (string, any, error) {
	name := r.PathValue("name")
	resp, err := h.queues.GetQueue(r.Context(), &taskraftv1.GetQueueRequest{Name: name, Consistency: stale})
	if err != nil {
		return "", nil, err
	}
	tasks, err := h.tasks.ListTasks(r.Context(), &taskraftv1.ListTasksRequest{PageSize: 20, Filter: "queue=" + name, Consistency: stale})
	return "Queue " + name, &queuePage{resp.GetQueue(), tasks.GetTasks()}, err
}

// session is a worker as the table has it.
type session struct {
	*fsm.Session
	Load int // percent of its slots
}

// Since is when the session was opened.
func (s session) Since() *timestamppb.Timestamp { return timestamppb.New(time.Unix(0, s.OpenedAt)) }

// Mode says how the worker gets its tasks, or that it gets no more.
func (s session) Mode() string {
	switch {
	case s.Draining:
		return "draining"
	case s.Pull:
		return "pull"
	}
	return "stream"
}

// LabelTexts are the labels as KEY=VALUE.
func (s session) LabelTexts() []string {
	var out []string
	for k, v := range s.Labels {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out
}

func (h *Handler) sessions(ctx context.Context) []session {
	var out []session
	// A stale read of a running node cannot fail; of a stopped one there is nothing.
	_, _ = h.cfg.Node.Read(ctx, cluster.ReadOptions{Level: cluster.Stale}, func(m *fsm.Machine) {
		for s := range m.Sessions() {
			out = append(out, session{s, 100 * s.Held / max(s.Slots, 1)})
		}
	})
	slices.SortFunc(out, func(a, b session) int { return strings.Compare(a.Worker, b.Worker) })
	return out
}

func (h *Handler) workers(r *http.Request) (string, any, error) {
	return "Workers", h.sessions(r.Context()), nil
}

func (h *Handler) scheduleList(r *http.Request) (string, any, error) {
	list, err := h.schedules.ListSchedules(r.Context(), &taskraftv1.ListSchedulesRequest{PageSize: 200, Consistency: stale})
	if err != nil {
		return "", nil, err
	}
	var out []*taskraftv1.Schedule
	for _, s := range list.GetSchedules() {
		whole, err := h.schedules.GetSchedule(r.Context(), &taskraftv1.GetScheduleRequest{Name: s.GetName(), Next: 5, Consistency: stale})
		if err == nil { // else it was deleted meanwhile
			out = append(out, whole.GetSchedule())
		}
	}
	return "Schedules", out, nil
}

func (h *Handler) deadGroups(r *http.Request) (string, any, error) {
	resp, err := h.dead.ListDeadGroups(r.Context(), &taskraftv1.ListDeadGroupsRequest{PageSize: 200, Consistency: stale})
	return "Dead letters", resp.GetGroups(), err
}

// clusterPage is how the masters are.
type clusterPage struct {
	Status   cluster.Status
	Members  []member
	Counters []counter
}

type counter struct {
	Name  string
	Value uint64
}

func (h *Handler) cluster(r *http.Request) (string, any, error) {
	p := &clusterPage{Status: h.cfg.Node.Status(), Members: h.masters(r.Context())}
	for name, n := range p.Status.Counters {
		p.Counters = append(p.Counters, counter{strings.ReplaceAll(name, "_", " "), n})
	}
	slices.SortFunc(p.Counters, func(a, b counter) int { return strings.Compare(a.Name, b.Name) })
	return "Cluster", p, nil
}

func (h *Handler) submitForm(r *http.Request) (string, any, error) {
	q := r.URL.Query()
	return "Submit a task", map[string]string{"queue": q.Get("queue"), "kind": q.Get("kind")}, nil
}
