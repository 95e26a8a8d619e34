package task_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/task"
	"github.com/taskraft/taskraft/tasktest"
	"github.com/taskraft/taskraft/worker"
)

// Mail and Sent are what both sides know.
type (
	Mail struct{ To, Text string }
	Sent struct{ Bytes int }
)

var SendMail = task.Define[Mail, Sent]("send-mail", func(t *client.Task) { t.Queue = "mail" })

// A handler of Go types, run by a worker and called by a submitter.
func Example() {
	m, err := tasktest.Open(tasktest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	m.Work(worker.Config{
		Queues: []worker.Queue{{Name: "mail"}},
		Handlers: task.Handlers(task.Handle(SendMail, func(ctx context.Context, mail Mail) (Sent, error) {
			if !strings.Contains(mail.To, "@") {
				return Sent{}, worker.Permanent(errors.New("no such mailbox"))
			}
			return Sent{Bytes: len(mail.Text)}, nil
		})),
	})

	ctx := context.Background()
	sent, err := SendMail.Run(ctx, m.Client(), Mail{To: "ada@example.org", Text: "hello"})
	fmt.Println(sent.Bytes, err)

	receipt, err := SendMail.Submit(ctx, m.Client(), Mail{To: "nobody"}, func(t *client.Task) { t.Delay = 10 * time.Millisecond })
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = SendMail.Wait(ctx, m.Client(), receipt.ID)
	fmt.Println(errors.Is(err, client.ErrDead), err)
	// Output:
	// 5 <nil>
	// true task 2 is DEAD: no such mailbox
}

// Gob is a codec for programs that are all written in Go.
type Gob struct{}

func (Gob) ContentType() string { return "application/x-gob" }

func (Gob) Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

func (Gob) Unmarshal(data []byte, v any) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(v)
}

func ExampleDefinition_WithCodec() {
	double := task.Define[int, int]("double").WithCodec(Gob{})
	m, err := tasktest.Open(tasktest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	m.Work(worker.Config{Handlers: task.Handlers(task.Handle(double, func(_ context.Context, n int) (int, error) { return 2 * n, nil }))})
	fmt.Println(double.Run(context.Background(), m.Client(), 21))
	// Output: 42 <nil>
}

// A thousand inputs, and one loop over what the handlers return.
func ExampleDefinition_RunAll() {
	square := task.Define[int, int]("square")
	m, err := tasktest.Open(tasktest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	m.Work(worker.Config{Handlers: task.Handlers(task.Handle(square, func(_ context.Context, n int) (int, error) { return n * n, nil }))})
	ctx, c := context.Background(), m.Client()

	inputs := func(yield func(int) bool) {
		for n := 1; n <= 1000 && yield(n); n++ {
		}
	}
	sum := 0
	for e, err := range square.RunAll(ctx, c, inputs) {
		if err != nil {
			fmt.Println(e.Place, err)
			continue
		}
		sum += e.Out
	}
	fmt.Println(sum)
	// Output: 333833500
}

func ExampleDefinition_SubmitAsync() {
	m, err := tasktest.Open(tasktest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	m.Work(worker.Config{
		Queues: []worker.Queue{{Name: "mail"}},
		Handlers: task.Handlers(task.Handle(SendMail, func(_ context.Context, mail Mail) (Sent, error) {
			return Sent{Bytes: len(mail.Text)}, nil
		})),
	})
	sending, err := SendMail.SubmitAsync(context.Background(), m.Client(), Mail{To: "ada@example.org", Text: "hello"})
	if err != nil {
		fmt.Println(err)
		return
	}
	<-sending.Done()
	fmt.Println(sending.Out())
	// Output: {5} <nil>
}
