package worker_test

import (
	"context"
	"fmt"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/tasktest"
	"github.com/taskraft/taskraft/worker"
)

func convert(ctx context.Context, _ *worker.Task) (worker.Result, error) {
	out := worker.Output(ctx, worker.Stdout)
	for page := range uint64(3) {
		fmt.Fprintf(out, "page %d\n", page+1)
		if err := worker.ProgressOf(ctx, page+1, 3, "converting"); err != nil {
			return worker.Result{}, err
		}
	}
	return worker.Result{}, nil
}

// What a handler shows while it runs, and who reads it.
func ExampleOutput() {
	m, err := tasktest.Open(tasktest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	m.Work(worker.Config{Default: convert})
	ctx := context.Background()
	r, err := m.Client().Submit(ctx, client.Task{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for u, err := range m.Client().Follow(ctx, r.ID) {
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, o := range u.Output {
			fmt.Printf("%s", o.Data)
		}
		if u.Done {
			fmt.Println(u.Task.GetState())
		}
	}
	// Output:
	// page 1
	// page 2
	// page 3
	// SUCCEEDED
}
