package client_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/tasktest"
	"github.com/taskraft/taskraft/worker"
)

// Many tasks, and one loop over what becomes of them.
func ExampleClient_RunAll() {
	m, err := tasktest.Open(tasktest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	m.Work(worker.Config{Default: upper})
	c := m.Client()

	words := []string{"hello", "die", "world"}
	var tasks []client.Task
	for _, w := range words {
		tasks = append(tasks, client.Task{Payload: []byte(w)})
	}
	results := make([]string, len(words))
	for e, err := range c.RunAll(context.Background(), slices.Values(tasks), client.WithInFlight(100)) {
		if err != nil {
			results[e.Place] = err.Error()
			continue
		}
		results[e.Place] = string(e.Task.GetResult())
	}
	fmt.Printf("%q\n", results)
	// Output: ["HELLO" "task 2 is DEAD: it had to" "WORLD"]
}

// A handle is there at once; the task comes after it.
func ExampleClient_SubmitAsync() {
	m, err := tasktest.Open(tasktest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	m.Work(worker.Config{Default: upper})
	ctx, c := context.Background(), m.Client()

	h := c.SubmitAsync(ctx, client.Task{Payload: []byte("hello")})
	select {
	case <-h.Done():
	case <-ctx.Done():
	}
	t, err := h.Result()
	fmt.Println(string(t.GetResult()), err)
	// Output: HELLO <nil>
}
