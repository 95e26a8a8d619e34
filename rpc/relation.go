package rpc

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// relate fills in what a task waits for and what follows it.
func relate(out *taskraftv1.TaskSpec, x *fsm.Extra) {
	for _, p := range x.After {
		out.After = append(out.After, p.Task)
	}
	if x.AfterRun {
		out.AfterPolicy = taskraftv1.AfterPolicy_AFTER_RUN
	}
	out.OnSuccess, out.OnDead = followUpSpecs(x.OnSuccess), followUpSpecs(x.OnDead)
}

// followUpSpecs shows what will be submitted: without payloads and options.
func followUpSpecs(in []*fsmpb.TaskSpec) []*taskraftv1.TaskSpec {
	var out []*taskraftv1.TaskSpec
	for _, s := range in {
		out = append(out, &taskraftv1.TaskSpec{Queue: s.GetQueue(), Kind: s.GetKind(), ContentType: s.GetContentType()})
	}
	return out
}

// followUpError is a completion that is refused only because of what it asks to
// be submitted.
type followUpError struct{ error }

func (e followUpError) Unwrap() error { return e.error }

// failureFor turns such a completion into a failure that no other attempt mends: on
// a stream a refusal would have the worker attach and report it again, for ever.
func (s *Server) failureFor(c *taskraftv1.Completion, e followUpError) (*fsmpb.Failure, error) {
	return s.failure(&taskraftv1.Failure{
		Task: c.GetTask(), Fence: c.GetFence(), Error: status.Convert(e.error).Message(), Permanent: true,
		Result: c.GetResult(), ContentType: c.GetContentType(),
	})
}

// followUpDigest adds follow-ups to what a completion's fence stands for.
func followUpDigest(sum uint64, specs []*fsmpb.TaskSpec) uint64 {
	for _, spec := range specs {
		sum = digest(strconv.AppendUint(nil, sum, 16), strconv.AppendUint(nil, specDigest(spec), 16))
	}
	return sum
}

// noParent names a task that waits for one which is not there; first is the place
// of the command's first task.
func noParent(res fsm.Result, first int) error {
	for i, o := range res.Outcomes {
		if o == fsm.NoParent {
			item, parent := strconv.Itoa(first+i), strconv.FormatUint(res.IDs[i], 10)
			return statusError(codes.NotFound, reason.ParentNotFound, "tasks["+item+"].after: there is no task "+parent,
				map[string]string{"item": item, "id": parent})
		}
	}
	return statusError(codes.InvalidArgument, reason.InvalidField, "after_items: a task waits for a place that the batch does not have",
		map[string]string{"field": "after_items"})
}

// obstructed names the task because of which nothing of a call or batch was
// accepted: its queue is full, or the task with this id has its unique key (0: an
// earlier one of the same batch).
func obstructed(o fsm.Outcome, place int, id uint64, queue string) error {
	r := refusals[o]
	item := strconv.Itoa(place)
	meta := map[string]string{"item": item, "queue": queue}
	field := "tasks[" + item + "].queue"
	msg := field + ": " + r.message
	if o == fsm.UniqueKeyTaken {
		field = "tasks[" + item + "].unique_key"
		msg = field + ": an earlier task of the batch has the same"
		if id != 0 {
			meta["id"] = strconv.FormatUint(id, 10)
			msg = field + ": task " + meta["id"] + " lives with the same"
		}
	}
	return statusError(r.code, r.reason, msg, meta,
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: msg}}})
}

// cycle shows the way around from a task to itself.
func cycle(places []uint64) error {
	names := make([]string, len(places))
	for i, p := range places {
		names[i] = fmt.Sprintf("tasks[%d]", p)
	}
	field, path := names[0]+".after_items", strings.Join(names, " → ")
	return statusError(codes.InvalidArgument, reason.InvalidField, field+": waits for itself: "+path, map[string]string{"field": field, "path": path},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: "waits for itself: " + path}}})
}
