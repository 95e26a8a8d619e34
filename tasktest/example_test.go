package tasktest_test

import (
	"context"
	"testing"

	"github.com/taskraft/taskraft/task"
	"github.com/taskraft/taskraft/tasktest"
	"github.com/taskraft/taskraft/worker"
)

var Greet = task.Define[string, string]("greet")

func greet(_ context.Context, name string) (string, error) { return "Hello, " + name, nil }

func TestGreeting(t *testing.T) {
	m := tasktest.Start(t)
	m.Work(worker.Config{Handlers: task.Handlers(task.Handle(Greet, greet))})
	got, err := Greet.Run(t.Context(), m.Client(), "Ada")
	if err != nil || got != "Hello, Ada" {
		t.Fatalf("got %q, %v", got, err)
	}
}
