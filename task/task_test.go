package task

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
	"github.com/taskraft/taskraft/worker"
)

type size struct{ Width int }

type image struct{ Name string }

var resize = Define[size, image]("resize", func(t *client.Task) { t.Queue, t.MaxAttempts = "images", 5 })

func TestTask(t *testing.T) {
	got, err := resize.Task(size{800}, func(t *client.Task) { t.MaxAttempts, t.Kind = 2, "mine" })
	want := client.Task{Kind: "resize", Queue: "images", MaxAttempts: 2, Payload: []byte(`{"Width":800}`), ContentType: "application/json"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if _, err := Define[float64, image]("f").Task(math.NaN()); err == nil {
		t.Error("NaN was encoded")
	}
}

func TestHandle(t *testing.T) {
	boom := errors.New("boom")
	tests := map[string]struct {
		payload, contentType string
		h                    func(context.Context, size) (image, error)
		want                 string
		err                  string
		permanent            bool
	}{
		"result":              {payload: `{"Width":8}`, contentType: "application/json", want: `{"Name":"8"}`},
		"parameters":          {payload: `{"Width":8}`, contentType: "application/json; charset=utf-8", want: `{"Name":"8"}`},
		"by hand":             {payload: `{"Width":8}`, want: `{"Name":"8"}`},
		"no payload":          {want: `{"Name":""}`},
		"another type":        {payload: `{"Width":8}`, contentType: "text/plain", err: `content type "text/plain", want application/json`, permanent: true},
		"another value":       {payload: `{"Width":"8"}`, err: "read the payload of a task of kind resize: json", permanent: true},
		"two values":          {payload: `{"Width":8}{}`, err: "after top-level value", permanent: true},
		"the handler's error": {payload: `{}`, h: func(context.Context, size) (image, error) { return image{"lost"}, boom }, err: "boom"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.h == nil {
				tt.h = func(_ context.Context, s size) (image, error) {
					return image{strings.Trim(strings.Repeat("8", s.Width/8), " ")}, nil
				}
			}
			r := Handle(resize, tt.h)
			res, err := r.Handler(t.Context(), &worker.Task{Payload: []byte(tt.payload), ContentType: tt.contentType})
			if tt.err == "" && (err != nil || string(res.Data) != tt.want || res.ContentType != "application/json") {
				t.Errorf("got %s (%s), %v, want %s", res.Data, res.ContentType, err, tt.want)
			}
			if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err) || res.Data != nil) {
				t.Errorf("got %s, %v, want %s", res.Data, err, tt.err)
			}
			if tt.permanent != worker.IsPermanent(err) {
				t.Errorf("permanent: %v, want %v", !tt.permanent, tt.permanent)
			}
		})
	}
	never := Handle(Define[size, float64]("never"), func(context.Context, size) (float64, error) { return math.Inf(1), nil })
	if _, err := never.Handler(t.Context(), &worker.Task{}); !worker.IsPermanent(err) {
		t.Errorf("a result that cannot be encoded: %v, want a permanent error", err)
	}
}

func TestHandlersRefuseAKindTwice(t *testing.T) {
	route := Handle(resize, func(context.Context, size) (image, error) { return image{}, nil })
	if got := Handlers(route); len(got) != 1 || got["resize"] == nil {
		t.Errorf("got %v", got)
	}
	defer func() {
		if p := recover(); p != "task: two handlers for kind resize" {
			t.Errorf("got %v", p)
		}
	}()
	Handlers(route, route)
}

func TestResult(t *testing.T) {
	done := &taskraftv1.Task{Id: 7, State: taskraftv1.TaskState_SUCCEEDED, Result: []byte(`{"Name":"n"}`), ResultContentType: "application/json"}
	if got, err := resize.Result(done); err != nil || got.Name != "n" {
		t.Errorf("got %v, %v", got, err)
	}
	done.Result = []byte("n")
	if _, err := resize.Result(done); err == nil || !strings.HasPrefix(err.Error(), "read the result of task 7: ") {
		t.Errorf("got %v", err)
	}
	for state, want := range map[taskraftv1.TaskState]error{taskraftv1.TaskState_DEAD: client.ErrDead, taskraftv1.TaskState_CANCELLED: client.ErrCancelled} {
		ended := &taskraftv1.Task{Id: 7, State: state, Error: "boom", Reason: "max_attempts"}
		_, err := resize.Result(ended)
		e, ok := errors.AsType[*client.EndedError](err)
		if !ok || !errors.Is(err, want) || err.Error() != "task 7 is "+state.String()+": boom" {
			t.Errorf("got %v, want %v", err, want)
		}
		if diff := cmp.Diff(ended, e.Task, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	}
}
