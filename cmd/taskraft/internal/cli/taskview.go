package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// shownBytes of a payload or result are printed for people.
const shownBytes = 2 << 10

func stateTint(s taskraftv1.TaskState) int {
	switch s {
	case taskraftv1.TaskState_SUCCEEDED:
		return show.Green
	case taskraftv1.TaskState_DEAD:
		return show.Red
	case taskraftv1.TaskState_CANCELLED:
		return show.Faint
	case taskraftv1.TaskState_RUNNING, taskraftv1.TaskState_STOPPING:
		return show.Yellow
	}
	return 0
}

func (a *app) newTaskList() *show.List[*taskraftv1.Task] {
	now := time.Now()
	type T = *taskraftv1.Task
	return show.NewList(a.printer(), "tasks", taskName, []show.Column[T]{
		{Head: "ID", Right: true, Cell: taskName},
		{Head: "STATE", Cell: func(t T) string { return t.GetState().String() }, Tint: func(t T) int { return stateTint(t.GetState()) }},
		{Head: "QUEUE", Cell: func(t T) string { return t.GetSpec().GetQueue() }},
		{Head: "KIND", Cell: func(t T) string { return t.GetSpec().GetKind() }},
		{Head: "PRI", Right: true, Cell: func(t T) string { return strconv.Itoa(int(t.GetSpec().GetPriority())) }},
		{Head: "ATTEMPT", Right: true, Cell: attempts},
		{Head: "AGE", Right: true, Cell: func(t T) string { return since(now, t.GetSubmitTime()) }},
		{Head: "TOOK", Right: true, Cell: func(t T) string { return took(t) }},
		{Head: "FENCE", Right: true, Wide: true, Cell: func(t T) string { return nonZero(t.GetAttempt().GetFence()) }},
		{Head: "PROGRESS", Wide: true, Cell: func(t T) string { return describeProgress(t.GetProgress()) }},
		{Head: "WORKER", Cell: func(t T) string { return lastWorker(t) }},
		{Head: "WHY", Cell: why},
	})
}

func taskName(t *taskraftv1.Task) string { return strconv.FormatUint(t.GetId(), 10) }

func attempts(t *taskraftv1.Task) string {
	return fmt.Sprintf("%d/%d", t.GetAttempts(), t.GetSpec().GetMaxAttempts())
}

func why(t *taskraftv1.Task) string {
	if t.GetError() != "" {
		return t.GetError()
	}
	return t.GetReason()
}

func lastWorker(t *taskraftv1.Task) string {
	if w := t.GetAttempt().GetWorkerId(); w != "" {
		return w
	}
	if ended := t.GetEnded(); len(ended) > 0 {
		return ended[len(ended)-1].GetWorkerId()
	}
	return ""
}

// took is from submit to end.
func took(t *taskraftv1.Task) string {
	if t.GetFinishTime() == nil {
		return ""
	}
	return show.Duration(t.GetFinishTime().AsTime().Sub(t.GetSubmitTime().AsTime()))
}

func since(now time.Time, at *timestamppb.Timestamp) string {
	if at == nil {
		return ""
	}
	d := now.Sub(at.AsTime()).Truncate(time.Second)
	if d <= 0 {
		return "0s"
	}
	return show.Duration(d)
}

func nonZero(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func stamp(at *timestamppb.Timestamp) string {
	if at == nil {
		return ""
	}
	return at.AsTime().Local().Format("2006-01-02 15:04:05.000 MST")
}

// printTask prints one task in full.
func (a *app) printTask(t *taskraftv1.Task) error {
	return a.printer().Object(t, taskName(t), func(w io.Writer) error { return describeTask(w, t) })
}

func describeTask(w io.Writer, t *taskraftv1.Task) error {
	spec := t.GetSpec()
	generation := ""
	if t.GetGeneration() > 1 {
		generation = fmt.Sprintf(" (generation %d)", t.GetGeneration())
	}
	eligible := ""
	if t.GetState() == taskraftv1.TaskState_SCHEDULED {
		eligible = stamp(t.GetEligibleTime())
	}
	err := show.Fields(w,
		"task", taskName(t)+generation,
		"state", t.GetState().String(),
		"reason", show.Clean(t.GetReason()),
		"error", show.Clean(t.GetError()),
		"queue", spec.GetQueue(),
		"kind", show.Clean(spec.GetKind()),
		"priority", strconv.Itoa(int(spec.GetPriority())),
		"attempts", fmt.Sprintf("%d of %d, %d failed, %d crashed", t.GetAttempts(), spec.GetMaxAttempts(), t.GetFailures(), t.GetCrashes()),
		"timeout", spec.GetTimeout().AsDuration().String(),
		"request id", show.Clean(spec.GetRequestId()),
		"labels", show.Clean(labelsText(spec.GetLabels())),
		"requires", show.Clean(labelsText(spec.GetRequire())),
		"unique key", show.Clean(spec.GetUniqueKey()),
		"concurrency key", show.Clean(spec.GetConcurrencyKey()),
		"schedule", t.GetSchedule(),
		"nominal time", stamp(t.GetFireTime()),
		"submitted", stamp(t.GetSubmitTime()),
		"batch", nonZero(t.GetBatch()),
		"after", after(t),
		"follows", follows(t),
		"trace", show.Clean(traceID(spec.GetTraceparent())),
		"then", then(spec),
		"not before", eligible,
		"ended", stamp(t.GetFinishTime()),
		"running at", show.Clean(t.GetAttempt().GetWorkerId()),
		"fence", nonZero(t.GetAttempt().GetFence()),
		"progress", describeProgress(t.GetProgress()),
		"deadline", stamp(t.GetAttempt().GetDeadline()),
		"payload", describeBytes(spec.GetPayload(), spec.GetContentType()),
		"result", describeBytes(t.GetResult(), t.GetResultContentType()),
	)
	if err != nil {
		return err
	}
	for _, e := range t.GetEnded() {
		ran := ""
		if e.GetStartTime() != nil {
			ran = " after " + show.Duration(e.GetEndTime().AsTime().Sub(e.GetStartTime().AsTime()))
		}
		if _, err := fmt.Fprintf(w, "  %s  fence %d at %s: %s%s %s\n", stamp(e.GetEndTime()), e.GetFence(),
			show.Clean(e.GetWorkerId()), e.GetCause(), ran, show.Clean(e.GetError())); err != nil {
			return err
		}
	}
	for _, s := range t.GetSuperseded() {
		if _, err := fmt.Fprintf(w, "  %s  fence %d at %s came too late (%s): %s\n", stamp(s.GetTime()), s.GetFence(),
			show.Clean(s.GetWorkerId()), s.GetOutcome(), describeBytes(s.GetResult(), "")); err != nil {
			return err
		}
	}
	return nil
}

// traceID is what people search a trace by.
func traceID(parent string) string {
	parts := strings.Split(parent, "-")
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}

func labelsText(labels map[string]string) string {
	var out []string
	for _, key := range sortedKeys(labels) {
		out = append(out, key+"="+labels[key])
	}
	return strings.Join(out, ", ")
}

// describeBytes shows text as text, cut, and anything else by its size.
func describeBytes(data []byte, contentType string) string {
	switch {
	case len(data) == 0:
		return ""
	case !utf8.Valid(data):
		return fmt.Sprintf("%d bytes %s", len(data), show.Clean(contentType))
	case len(data) > shownBytes:
		return show.Clean(string(data[:shownBytes])) + fmt.Sprintf("… (%d bytes)", len(data))
	}
	return show.Clean(string(data))
}
