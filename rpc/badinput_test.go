package rpc_test

import (
	"bytes"
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

type spec = taskraftv1.TaskSpec

// Rows of bad task specs: each is refused with INVALID_ARGUMENT naming the field.
var badSpecs = []struct {
	row, name, field string
	spec             *spec
}{
	{"E02", "long queue", "queue", &spec{Queue: strings.Repeat("a", 256)}},
	{"E02", "path", "queue", &spec{Queue: "../etc"}},
	{"E02", "control", "queue", &spec{Queue: "a\x07b"}},
	{"E02", "right-to-left override", "queue", &spec{Queue: "a\u202eb"}},
	{"E02", "homoglyph", "queue", &spec{Queue: "mаil"}},
	{"E02", "leading dot", "queue", &spec{Queue: ".mail"}},
	{"E04", "payload over the limit", "payload", &spec{Payload: make([]byte, 1<<20+1)}},
	{"E08", "negative timeout", "timeout", &spec{Timeout: durationpb.New(-time.Second)}},
	{"E08", "zero timeout", "timeout", &spec{Timeout: durationpb.New(0)}},
	{"E08", "300 years", "timeout", &spec{Timeout: &durationpb.Duration{Seconds: 300 * 365 * 86400}}},
	{"E08", "sign mismatch", "timeout", &spec{Timeout: &durationpb.Duration{Seconds: 1, Nanos: -1}}},
	{"E08", "seconds overflow", "expires_in", &spec{ExpiresIn: &durationpb.Duration{Seconds: math.MaxInt64}}},
	{"E08", "negative delay", "delay", &spec{Start: &taskraftv1.TaskSpec_Delay{Delay: durationpb.New(-1)}}},
	{"E09", "invalid nanos", "run_at", &spec{Start: &taskraftv1.TaskSpec_RunAt{RunAt: &timestamppb.Timestamp{Nanos: 2e9}}}},
	{"E09", "year 9999", "run_at", &spec{Start: &taskraftv1.TaskSpec_RunAt{RunAt: timestamppb.New(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))}}},
	{"E10", "priority -101", "priority", &spec{Priority: proto.Int32(-101)}},
	{"E10", "priority 256", "priority", &spec{Priority: proto.Int32(256)}},
	{"E10", "priority max", "priority", &spec{Priority: proto.Int32(math.MaxInt32)}},
	{"E11", "no attempts", "max_attempts", &spec{MaxAttempts: proto.Int32(0)}},
	{"E11", "negative attempts", "max_attempts", &spec{MaxAttempts: proto.Int32(-1)}},
	{"E11", "too many attempts", "max_attempts", &spec{MaxAttempts: proto.Int32(1e9)}},
	{"E11", "zero base", "backoff.base", &spec{Backoff: &taskraftv1.Backoff{Base: durationpb.New(0)}}},
	{"E26", "17 required labels", "require", &spec{Require: manyLabels(17)}},
	{"E26", "empty required key", "require", &spec{Require: map[string]string{"": "v"}}},
	{"E26", "long required value", "require[zone]", &spec{Require: map[string]string{"zone": strings.Repeat("v", 257)}}},
	{"E26", "NUL in a required value", "require[zone]", &spec{Require: map[string]string{"zone": "\x00"}}},
	{"", "long unique key", "unique_key", &spec{UniqueKey: strings.Repeat("k", 129)}},
	{"E12", "unknown unique_until", "unique_until", &spec{UniqueKey: "k", UniqueUntil: 99}},
	{"", "unique_until without a key", "unique_until", &spec{UniqueUntil: taskraftv1.UniqueUntil_UNIQUE_UNTIL_START}},
	{"", "long concurrency key", "concurrency_key", &spec{ConcurrencyKey: strings.Repeat("k", 129)}},
	{"", "control character in a key", "concurrency_key", &spec{ConcurrencyKey: "a\nb"}},
	{"E11", "max below base", "backoff.max", &spec{Backoff: &taskraftv1.Backoff{Base: durationpb.New(time.Minute), Max: durationpb.New(time.Second)}}},
}

func manyLabels(n int) map[string]string {
	labels := map[string]string{}
	for i := range n {
		labels[strings.Repeat("k", i+1)] = "v"
	}
	return labels
}

func TestBadSpecs(t *testing.T) {
	m := startMaster(t)
	for _, c := range badSpecs {
		t.Run(c.row+"/"+c.name, func(t *testing.T) {
			_, err := m.SubmitTask(t.Context(), &taskraftv1.SubmitTaskRequest{Task: c.spec})
			refused(t, err, codes.InvalidArgument, reason.InvalidField, c.field)
		})
	}
	good := make([]*spec, 20)
	for i := range good {
		good[i] = &spec{}
	}
	good[17] = &spec{Start: &taskraftv1.TaskSpec_RunAt{RunAt: &timestamppb.Timestamp{Nanos: -1}}}
	t.Run("E07", func(t *testing.T) {
		_, err := m.SubmitTasks(t.Context(), &taskraftv1.SubmitTasksRequest{})
		refused(t, err, codes.InvalidArgument, reason.InvalidField, "tasks")
		_, err = m.SubmitTasks(t.Context(), &taskraftv1.SubmitTasksRequest{Tasks: make([]*spec, 10_001)})
		refused(t, err, codes.InvalidArgument, reason.InvalidField, "tasks")
		_, err = m.SubmitTasks(t.Context(), &taskraftv1.SubmitTasksRequest{Tasks: good})
		refused(t, err, codes.InvalidArgument, reason.InvalidField, "tasks[17].run_at")
	})
	t.Run("E04/message over 4 MiB", func(t *testing.T) {
		_, err := m.SubmitTask(t.Context(), &taskraftv1.SubmitTaskRequest{Task: &spec{Payload: make([]byte, 4<<20+1)}})
		if status.Code(err) != codes.ResourceExhausted {
			t.Errorf("got %v", err)
		}
	})
	t.Run("E01", func(t *testing.T) {
		_, err := m.SubmitTask(t.Context(), &taskraftv1.SubmitTaskRequest{})
		refused(t, err, codes.InvalidArgument, reason.InvalidField, "task")
	})
	list, err := m.ListTasks(t.Context(), &taskraftv1.ListTasksRequest{})
	if err != nil || len(list.GetTasks()) != 0 {
		t.Errorf("after refusals the table holds %d tasks (%v)", len(list.GetTasks()), err)
	}
}

func TestPastMeansNow(t *testing.T) {
	t.Run("E09", func(t *testing.T) {
		m := startMaster(t)
		var held []uint64
		for i, year := range []int{1, 1500, 1970, 2001} { // nanoseconds cannot tell the first two
			id := submit(t, m, &spec{Start: &taskraftv1.TaskSpec_RunAt{RunAt: timestamppb.New(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC))}})
			a := pull(t, m, "w1", uint64(i+1), "default", held...)
			if a.GetTask() != id {
				t.Errorf("year %d: got task %d, want %d", year, a.GetTask(), id)
			}
			held = append(held, a.GetFence())
		}
	})
}

func TestRequestIDs(t *testing.T) {
	m := startMaster(t)
	t.Run("E13", func(t *testing.T) {
		first := submit(t, m, &spec{RequestId: "r1", Payload: []byte("a")})
		same, err := m.SubmitTask(t.Context(), &taskraftv1.SubmitTaskRequest{Task: &spec{RequestId: "r1", Payload: []byte("a")}})
		if err != nil || same.GetId() != first || !same.GetExisting() {
			t.Errorf("same content: %v %v, want existing task %d", same, err, first)
		}
		_, err = m.SubmitTask(t.Context(), &taskraftv1.SubmitTaskRequest{Task: &spec{RequestId: "r1", Payload: []byte("b")}})
		refused(t, err, codes.AlreadyExists, reason.RequestIDConflict, "")
	})
	t.Run("call", func(t *testing.T) {
		call := &taskraftv1.Call{ClientId: bytes.Repeat([]byte{7}, 16), Seq: 1, AckedBelow: 1}
		req := &taskraftv1.SubmitTaskRequest{Task: &spec{}, Call: call}
		first, err := m.SubmitTask(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		call.Repeat = true
		second, err := m.SubmitTask(t.Context(), req)
		if err != nil || second.GetId() != first.GetId() {
			t.Errorf("repeat gave %v %v, want id %d", second, err, first.GetId())
		}
	})
}

// TestQueueFull: a batch that does not fit is refused as a whole, with the time
// after which to try again.
func TestQueueFull(t *testing.T) {
	m := startMaster(t)
	_, err := m.UpdateQueue(t.Context(), &taskraftv1.UpdateQueueRequest{Name: "q", Settings: &taskraftv1.QueueSettings{MaxTasks: proto.Uint64(2)}})
	if err != nil {
		t.Fatal(err)
	}
	submit(t, m, &spec{Queue: "q"})
	_, err = m.SubmitTasks(t.Context(), &taskraftv1.SubmitTasksRequest{Tasks: []*spec{{Queue: "q"}, {Queue: "q"}}})
	refused(t, err, codes.ResourceExhausted, reason.QueueFull, "")
	delay, item := false, ""
	for _, d := range status.Convert(err).Details() {
		switch d := d.(type) {
		case *errdetails.RetryInfo:
			delay = d.GetRetryDelay().AsDuration() > 0
		case *errdetails.ErrorInfo:
			item = d.GetMetadata()["queue"] + " " + d.GetMetadata()["item"]
		}
	}
	if !delay || item != "q 1" {
		t.Errorf("the refusal names %q and a delay: %v", item, delay)
	}
	q, err := m.GetQueue(t.Context(), &taskraftv1.GetQueueRequest{Name: "q"})
	if err != nil || q.GetQueue().GetReady() != 1 || q.GetQueue().GetSubmittedTotal() != 1 {
		t.Errorf("after the refusal: %v, %v", q, err)
	}
}

// TestUpdateQueue changes what the mask names and leaves the rest.
func TestUpdateQueue(t *testing.T) {
	m := startMaster(t)
	update := func(s *taskraftv1.QueueSettings, paths ...string) (*taskraftv1.QueueSettings, error) {
		req := &taskraftv1.UpdateQueueRequest{Name: "q", Settings: s}
		if paths != nil {
			req.UpdateMask = &fieldmaskpb.FieldMask{Paths: paths}
		}
		resp, err := m.UpdateQueue(t.Context(), req)
		return resp.GetQueue().GetSettings(), err
	}
	rate := &taskraftv1.RateLimit{Tokens: 5, Period: durationpb.New(time.Second), Burst: 7}
	backoff := &taskraftv1.Backoff{Base: durationpb.New(time.Second), Max: durationpb.New(time.Minute)}
	for i, c := range []struct {
		set   *taskraftv1.QueueSettings
		paths []string
		want  *taskraftv1.QueueSettings
	}{
		{&taskraftv1.QueueSettings{MaxRunning: proto.Uint32(3), Rate: rate, Backoff: backoff}, nil, &taskraftv1.QueueSettings{MaxRunning: proto.Uint32(3), Rate: rate, Backoff: backoff}},
		{&taskraftv1.QueueSettings{MaxRunning: proto.Uint32(4), Priority: proto.Int32(9)}, []string{"max_running", "backoff"}, &taskraftv1.QueueSettings{MaxRunning: proto.Uint32(4), Rate: rate}},
		{nil, []string{"rate", "max_running"}, &taskraftv1.QueueSettings{}},
	} {
		got, err := update(c.set, c.paths...)
		if err != nil || !proto.Equal(got, c.want) {
			t.Errorf("update %d: %v, %v, want %v", i, got, err, c.want)
		}
	}
	for field, s := range map[string]*taskraftv1.QueueSettings{
		"settings":                     nil,
		"settings.max_running":         {MaxRunning: proto.Uint32(0)},
		"settings.max_running_per_key": {MaxRunningPerKey: proto.Uint32(2e6)},
		"settings.rate.tokens":         {Rate: &taskraftv1.RateLimit{Period: durationpb.New(time.Second)}},
		"settings.rate.period":         {Rate: &taskraftv1.RateLimit{Tokens: 1}},
		"settings.rate":                {Rate: &taskraftv1.RateLimit{Tokens: 1e6, Period: durationpb.New(time.Millisecond)}},
		"settings.ageing":              {Ageing: durationpb.New(-1)},
	} {
		_, err := update(s)
		refused(t, err, codes.InvalidArgument, reason.InvalidField, field)
	}
	_, err := update(nil, "colour")
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "update_mask")
}

func TestBadCalls(t *testing.T) {
	m := startMaster(t)
	queues := []*taskraftv1.QueueWeight{{Queue: "default"}}
	submit(t, m, &spec{})
	cases := []struct {
		row, name string
		call      func(ctx context.Context) error
		code      codes.Code
		reason    string
		field     string
	}{
		{"E12", "unknown enum", func(ctx context.Context) error {
			_, err := m.GetTask(ctx, &taskraftv1.GetTaskRequest{Id: 1, Consistency: 99})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "consistency"},
		{"E15", "unknown id", func(ctx context.Context) error {
			_, err := m.GetTask(ctx, &taskraftv1.GetTaskRequest{Id: 999})
			return err
		}, codes.NotFound, reason.TaskNotFound, ""},
		{"E15", "no id", func(ctx context.Context) error {
			_, err := m.CancelTask(ctx, &taskraftv1.CancelTaskRequest{})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "id"},
		{"E15", "cancel unknown id", func(ctx context.Context) error {
			_, err := m.CancelTask(ctx, &taskraftv1.CancelTaskRequest{Id: 999})
			return err
		}, codes.NotFound, reason.TaskNotFound, ""},
		{"E18", "result over the limit", func(ctx context.Context) error {
			_, err := m.CompleteTask(ctx, &taskraftv1.CompleteTaskRequest{WorkerId: "w", BootId: "b", Completion: &taskraftv1.Completion{Task: 1, Fence: 1, Result: make([]byte, 1<<20+1)}})
			return err
		}, codes.ResourceExhausted, reason.InvalidField, ""},
		{"E18", "progress of 101 %", func(ctx context.Context) error {
			_, err := m.Heartbeat(ctx, &taskraftv1.HeartbeatRequest{WorkerId: "w", BootId: "b", Progress: []*taskraftv1.Progress{{Task: 1, Fence: 1, Fraction: 1.01}}})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "progress.fraction"},
		{"E18", "progress NaN", func(ctx context.Context) error {
			_, err := m.Heartbeat(ctx, &taskraftv1.HeartbeatRequest{WorkerId: "w", BootId: "b", Progress: []*taskraftv1.Progress{{Task: 1, Fence: 1, Fraction: math.NaN()}}})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "progress.fraction"},
		{"E18", "progress of more than all", func(ctx context.Context) error {
			_, err := m.Heartbeat(ctx, &taskraftv1.HeartbeatRequest{WorkerId: "w", BootId: "b", Progress: []*taskraftv1.Progress{{Task: 1, Fence: 1, Done: 2, Total: 1}}})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "progress.done"},
		{"E18", "a novel as progress", func(ctx context.Context) error {
			_, err := m.Heartbeat(ctx, &taskraftv1.HeartbeatRequest{WorkerId: "w", BootId: "b", Progress: []*taskraftv1.Progress{{Task: 1, Fence: 1, Message: strings.Repeat("x", 257)}}})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "progress.message"},
		{"E18", "a large chunk of output", func(ctx context.Context) error {
			_, err := m.Heartbeat(ctx, &taskraftv1.HeartbeatRequest{WorkerId: "w", BootId: "b", Output: []*taskraftv1.OutputChunk{{Task: 1, Fence: 1, Stream: taskraftv1.OutputStream_STDOUT, Data: make([]byte, 64<<10+1)}}})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "output.data"},
		{"E18", "output to nowhere", func(ctx context.Context) error {
			_, err := m.Heartbeat(ctx, &taskraftv1.HeartbeatRequest{WorkerId: "w", BootId: "b", Output: []*taskraftv1.OutputChunk{{Task: 1, Fence: 1, Stream: 9, Data: []byte("x")}}})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "output.stream"},
		{"E18", "output from beyond", func(ctx context.Context) error {
			_, err := m.Heartbeat(ctx, &taskraftv1.HeartbeatRequest{WorkerId: "w", BootId: "b", Output: []*taskraftv1.OutputChunk{{Task: 1, Fence: 1, Offset: math.MaxUint64, Stream: taskraftv1.OutputStream_STDOUT, Data: []byte("x")}}})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "output.offset"},
		{"E15", "follow task 0", func(ctx context.Context) error {
			stream, err := m.FollowTask(ctx, &taskraftv1.FollowTaskRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		}, codes.InvalidArgument, reason.InvalidField, "id"},
		{"E15", "follow a task that never was", func(ctx context.Context) error {
			stream, err := m.FollowTask(ctx, &taskraftv1.FollowTaskRequest{Id: 1 << 60})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		}, codes.NotFound, reason.TaskNotFound, ""},
		{"transfer", "to nobody", func(ctx context.Context) error {
			_, err := m.TransferLeadership(ctx, &taskraftv1.TransferLeadershipRequest{To: "n9"})
			return err
		}, codes.NotFound, reason.MemberNotFound, ""},
		{"transfer", "without another voter", func(ctx context.Context) error {
			_, err := m.TransferLeadership(ctx, &taskraftv1.TransferLeadershipRequest{})
			return err
		}, codes.FailedPrecondition, reason.NoSuccessor, ""},
		{"finalize", "no level", func(ctx context.Context) error {
			_, err := m.Finalize(ctx, &taskraftv1.FinalizeRequest{})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "level"},
		{"finalize", "level beyond 16 bits", func(ctx context.Context) error {
			_, err := m.Finalize(ctx, &taskraftv1.FinalizeRequest{Level: 1 << 16})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "level"},
		{"D07", "a level that nobody knows", func(ctx context.Context) error {
			_, err := m.Finalize(ctx, &taskraftv1.FinalizeRequest{Level: 2, ValidateOnly: true})
			return err
		}, codes.FailedPrecondition, reason.LevelRefused, ""},
		{"E19", "max 0", func(ctx context.Context) error {
			_, err := m.RequestTask(ctx, &taskraftv1.RequestTaskRequest{WorkerId: "w", BootId: "b", Queues: queues, PollSeq: 1})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "max"},
		{"E19", "no queues", func(ctx context.Context) error {
			_, err := m.RequestTask(ctx, &taskraftv1.RequestTaskRequest{WorkerId: "w", BootId: "b", Max: 1, PollSeq: 1})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "queues"},
		{"E26", "too many labels", func(ctx context.Context) error {
			_, err := m.RequestTask(ctx, &taskraftv1.RequestTaskRequest{WorkerId: "w", BootId: "b", Queues: queues, Max: 1, PollSeq: 1, Labels: manyLabels(65)})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "labels"},
		{"E26", "long value", func(ctx context.Context) error {
			_, err := m.RequestTask(ctx, &taskraftv1.RequestTaskRequest{WorkerId: "w", BootId: "b", Queues: queues, Max: 1, PollSeq: 1, Labels: map[string]string{"zone": strings.Repeat("v", 64<<10)}})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "labels[zone]"},
		{"E27", "negative page", func(ctx context.Context) error {
			_, err := m.ListTasks(ctx, &taskraftv1.ListTasksRequest{PageSize: -1})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "page_size"},
		{"E27", "foreign token", func(ctx context.Context) error {
			_, err := m.ListTasks(ctx, &taskraftv1.ListTasksRequest{PageToken: "AAAA"})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "page_token"},
		{"E27", "filter of brackets", func(ctx context.Context) error {
			_, err := m.ListTasks(ctx, &taskraftv1.ListTasksRequest{Filter: strings.Repeat("(", 10_000)})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "filter"},
		{"E27", "filter with an unknown state", func(ctx context.Context) error {
			_, err := m.ListTasks(ctx, &taskraftv1.ListTasksRequest{Filter: "state=SLEEPING"})
			return err
		}, codes.InvalidArgument, reason.InvalidField, "filter"},
	}
	for _, c := range cases {
		t.Run(c.row+"/"+c.name, func(t *testing.T) {
			refused(t, c.call(t.Context()), c.code, c.reason, c.field)
		})
	}
	t.Run("E19/clamped", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		resp, err := m.RequestTask(ctx, &taskraftv1.RequestTaskRequest{WorkerId: "w", BootId: "b", Queues: queues, Slots: 1, Max: 1e6, PollSeq: 1, Wait: durationpb.New(time.Hour)})
		if err != nil || len(resp.GetAssignments()) != 1 {
			t.Errorf("got %v %v, want one task", resp, err)
		}
		resp, err = m.RequestTask(ctx, &taskraftv1.RequestTaskRequest{WorkerId: "w2", BootId: "b", Queues: []*taskraftv1.QueueWeight{{Queue: "nothing-here"}}, Max: 1, PollSeq: 1})
		if err != nil || len(resp.GetAssignments()) != 0 {
			t.Errorf("unknown queue: %v %v, want an empty reply", resp, err)
		}
	})
}

func TestFencesOfOthers(t *testing.T) {
	m := startMaster(t)
	id := submit(t, m, &spec{})
	other := submit(t, m, &spec{})
	a := pull(t, m, "w1", 1, "default")
	b := pull(t, m, "w2", 1, "default")
	if a.GetTask() != id || b.GetTask() != other {
		t.Fatalf("assigned %d and %d", a.GetTask(), b.GetTask())
	}
	t.Run("E16", func(t *testing.T) {
		for name, fence := range map[string]uint64{"zero": 0, "newer than issued": math.MaxUint64, "another task's": b.GetFence()} {
			if o := complete(t, m, "w1", id, fence, "x"); o != taskraftv1.Outcome_UNKNOWN_TASK {
				t.Errorf("%s: %v, want UNKNOWN_TASK", name, o)
			}
		}
		if o := complete(t, m, "w2", id, a.GetFence(), "x"); o != taskraftv1.Outcome_UNKNOWN_TASK {
			t.Errorf("another worker's fence: %v, want UNKNOWN_TASK", o)
		}
	})
	t.Run("E17", func(t *testing.T) {
		for i, want := range []struct {
			result  string
			outcome taskraftv1.Outcome
		}{{"r", taskraftv1.Outcome_ACCEPTED}, {"r", taskraftv1.Outcome_DUPLICATE}, {"other", taskraftv1.Outcome_CONFLICT}} {
			if o := complete(t, m, "w1", id, a.GetFence(), want.result); o != want.outcome {
				t.Errorf("complete %d: %v, want %v", i, o, want.outcome)
			}
		}
		if _, err := m.CancelTask(t.Context(), &taskraftv1.CancelTaskRequest{Id: other}); err != nil {
			t.Fatal(err)
		}
		if o := complete(t, m, "w2", other, b.GetFence(), "late"); o != taskraftv1.Outcome_TASK_CANCELLED {
			t.Errorf("complete after cancel: %v, want TASK_CANCELLED", o)
		}
	})
}

func TestTransportRefusals(t *testing.T) {
	m := startMaster(t)
	t.Run("E03", func(t *testing.T) {
		err := m.conn.Invoke(t.Context(), "/taskraft.v1.QueueService/GetQueue", []byte("\x0a\x02\xff\xfe"), &taskraftv1.GetQueueResponse{}, grpc.ForceCodec(rawCodec{}))
		if status.Code(err) != codes.Internal {
			t.Errorf("invalid UTF-8: %v, want INTERNAL from the transport", err)
		}
	})
	t.Run("E22", func(t *testing.T) {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-large", strings.Repeat("x", 32<<10))
		if _, err := m.GetStatus(ctx, &taskraftv1.GetStatusRequest{}); err == nil {
			t.Error("32 KiB of metadata were accepted")
		}
	})
	t.Run("E23", func(t *testing.T) {
		for _, method := range []string{"/taskraft.v1.TaskService/Steal", "/nobody/Home", "//", "/taskraft.v1.TaskService//GetTask"} {
			err := m.conn.Invoke(t.Context(), method, &taskraftv1.GetTaskRequest{}, &taskraftv1.GetTaskResponse{})
			if status.Code(err) != codes.Unimplemented {
				t.Errorf("%s: %v, want UNIMPLEMENTED", method, err)
			}
		}
	})
}

// rawCodec sends bytes as they are and decodes answers as protobuf would.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)   { return v.([]byte), nil }
func (rawCodec) Unmarshal(b []byte, v any) error { return proto.Unmarshal(b, v.(proto.Message)) }
func (rawCodec) Name() string                    { return "proto" }
