package dashboard

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// taskFilter is the filter of the list of tasks, as it stands in the page's address.
type taskFilter struct {
	State, Queue, Kind, Worker string
}

func (f taskFilter) String() string {
	var terms []string
	for _, t := range [][2]string{{"state", f.State}, {"queue", f.Queue}, {"kind", f.Kind}, {"worker", f.Worker}} {
		if t[1] != "" {
			terms = append(terms, t[0]+"="+t[1])
		}
	}
	return strings.Join(terms, " ")
}

func (f taskFilter) query() url.Values {
	q := url.Values{}
	for _, t := range [][2]string{{"state", f.State}, {"queue", f.Queue}, {"kind", f.Kind}, {"worker", f.Worker}} {
		if t[1] != "" {
			q.Set(t[0], t[1])
		}
	}
	return q
}

// taskPage is one page of tasks.
type taskPage struct {
	Filter taskFilter
	States []string
	Tasks  []*taskraftv1.Task
	First  string // address of the first page; empty on it
	Next   string // of the next one, if there is more
}

var states = []string{"SCHEDULED", "READY", "RUNNING", "STOPPING", "SUCCEEDED", "DEAD", "CANCELLED"}

func (h *Handler) taskList(r *http.Request) (string, any, error) {
	q := r.URL.Query()
	word := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	p := &taskPage{Filter: taskFilter{word("state"), word("queue"), word("kind"), word("worker")}, States: states}
	resp, err := h.tasks.ListTasks(r.Context(), &taskraftv1.ListTasksRequest{
		PageSize: pageSize, PageToken: q.Get("page"), Filter: p.Filter.String(), Consistency: stale,
	})
	if err != nil {
		return "", nil, err
	}
	p.Tasks = resp.GetTasks()
	if q.Get("page") != "" {
		p.First = "/ui/tasks?" + p.Filter.query().Encode()
	}
	if resp.GetNextPageToken() != "" {
		next := p.Filter.query()
		next.Set("page", resp.GetNextPageToken())
		p.Next = "/ui/tasks?" + next.Encode()
	}
	return "Tasks", p, nil
}

// taskView is one task with the attempts that it had.
type taskView struct {
	*taskraftv1.Task
	Output   string
	Attempts []attempt
}

// attempt is a line of the timeline.
type attempt struct {
	Number     int
	Fence      uint64
	Worker     string
	Cause      string
	Error      string
	Start, End string
	Took       string
	Running    bool
	// Left and Width are where its bar stands, in percent of the task's life.
	Left, Width int
}

func (h *Handler) task(r *http.Request) (string, any, error) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		id = 0 // the API says what an id is
	}
	resp, err := h.tasks.GetTask(r.Context(), &taskraftv1.GetTaskRequest{Id: id, Consistency: stale})
	if err != nil {
		return "", nil, err
	}
	v := &taskView{Task: resp.GetTask()}
	v.Attempts = timeline(v.Task)
	if v.GetState() == taskraftv1.TaskState_RUNNING || v.GetState() == taskraftv1.TaskState_STOPPING {
		v.Output, v.Progress = h.said(r, id, v.Progress)
	}
	return "Task " + strconv.FormatUint(id, 10), v, nil
}

// timeline lays the attempts out over the task's life.
func timeline(t *taskraftv1.Task) []attempt {
	begin, end := t.GetSubmitTime().AsTime(), time.Now()
	if t.GetFinishTime() != nil {
		end = t.GetFinishTime().AsTime()
	}
	life := max(end.Sub(begin), time.Millisecond)
	place := func(a *attempt, from, to time.Time) {
		if from.Before(begin) { // it is not known when it started
			from = begin
		}
		a.Left = min(int(100*from.Sub(begin)/life), 98)
		a.Width = max(min(int(100*to.Sub(from)/life), 100-a.Left), 2)
		a.Took = span(to.Sub(from))
	}
	first := int(t.GetAttempts()) - len(t.GetEnded())
	if t.GetAttempt() != nil {
		first--
	}
	var out []attempt
	for i, e := range t.GetEnded() {
		a := attempt{
			Number: max(first, 0) + i + 1, Fence: e.GetFence(), Worker: e.GetWorkerId(), Cause: e.GetCause(), Error: e.GetError(),
			Start: clock(e.GetStartTime()), End: clock(e.GetEndTime()),
		}
		place(&a, e.GetStartTime().AsTime(), e.GetEndTime().AsTime())
		out = append(out, a)
	}
	if x := t.GetAttempt(); x != nil {
		a := attempt{Number: int(x.GetNumber()), Fence: x.GetFence(), Worker: x.GetWorkerId(), Cause: state(t.GetState()), Start: clock(x.GetStartTime()), Running: true}
		place(&a, x.GetStartTime().AsTime(), time.Now())
		out = append(out, a)
	}
	return out
}

// said asks the leader for what a running attempt has written.
func (h *Handler) said(r *http.Request, id uint64, known *taskraftv1.Progress) (string, *taskraftv1.Progress) {
	const tail = 16 << 10
	status, body := h.call(r, http.MethodGet, "/v1/tasks/"+strconv.FormatUint(id, 10)+":follow?once=true", nil)
	if status != http.StatusOK {
		return "", known
	}
	var out []byte
	for line := range bytes.Lines(body) {
		line = bytes.TrimSuffix(bytes.TrimPrefix(bytes.TrimSpace(line), []byte(`{"result":`)), []byte("}"))
		m := &taskraftv1.FollowTaskResponse{}
		if protojson.Unmarshal(line, m) != nil {
			continue
		}
		for _, o := range m.GetOutput() {
			out = append(out, o.GetData()...)
		}
		if m.GetProgress() != nil {
			known = m.GetProgress()
		}
	}
	return content(out[max(len(out)-tail, 0):]), known
}
