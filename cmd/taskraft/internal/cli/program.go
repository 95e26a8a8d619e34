package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
	"github.com/taskraft/taskraft/worker/command"
)

// programKind is the kind of tasks that run a program.
const programKind = command.Kind

const jsonType = "application/json"

// program is the payload of such a task.
type program struct {
	Argv []string `json:"argv"`
}

// programResult is its result.
type programResult struct {
	ExitCode        int    `json:"exit_code"`
	Signal          string `json:"signal"`
	Stdout          string `json:"stdout"`
	Stderr          string `json:"stderr"`
	StdoutTruncated bool   `json:"stdout_truncated"`
	StderrTruncated bool   `json:"stderr_truncated"`
}

func setProgram(t *client.Task, argv []string) error {
	var payload bytes.Buffer
	enc := json.NewEncoder(&payload)
	enc.SetEscapeHTML(false) // a person may read it
	if err := enc.Encode(program{argv}); err != nil {
		return fmt.Errorf("encode the program: %w", err)
	}
	t.Kind, t.Payload, t.ContentType = programKind, bytes.TrimSpace(payload.Bytes()), jsonType
	return nil
}

// await waits until the task has ended, across any outage, of which it tells.
func (a *app) await(ctx context.Context, c *client.Client, id uint64) (*taskraftv1.Task, error) {
	for {
		round, cancel := a.call(ctx)
		wait := c.Wait
		if a.animated() && a.printer().People() {
			wait = func(ctx context.Context, id uint64) (*taskraftv1.Task, error) { return a.waitShown(ctx, c, id) }
		}
		t, err := wait(round, id)
		late := round.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil || !late {
			return t, err
		}
		if errors.Is(err, client.ErrNoLeader) {
			a.talk("no leader for %s; still waiting for task %d", a.config.callTimeout, id)
		}
	}
}

// waitOne waits for a task and prints its result: a program's output goes where
// the program would have written it.
func (a *app) waitOne(ctx context.Context, c *client.Client, id uint64) error {
	t, err := a.await(ctx, c, id)
	if err != nil {
		return waitFailure(ctx, err, id)
	}
	if err := a.printResult(t); err != nil {
		return err
	}
	return stateFailure(t)
}

func (a *app) printResult(t *taskraftv1.Task) error {
	p := a.printer()
	if !p.People() {
		return a.printTask(t)
	}
	var r programResult
	if t.GetSpec().GetKind() == programKind && json.Unmarshal(t.GetResult(), &r) == nil {
		_, errOut := io.WriteString(a.Out, r.Stdout)
		_, errErr := io.WriteString(a.Err, r.Stderr)
		if r.StdoutTruncated || r.StderrTruncated {
			a.talk("taskraft: the output is cut: the worker keeps only its end")
		}
		return errors.Join(errOut, errErr)
	}
	result := t.GetResult()
	if len(result) > 0 && result[len(result)-1] != '\n' && isTerminal(a.Out) {
		result = append(result[:len(result):len(result)], '\n')
	}
	_, err := a.Out.Write(result)
	return err
}

// waitMany waits for all tasks and lists them as they end, in the order of their ids.
func (a *app) waitMany(ctx context.Context, c *client.Client, ids []uint64) error {
	list := a.newTaskList()
	code := exitOK
	for i, id := range ids {
		t, err := a.await(ctx, c, id)
		if err != nil {
			a.talk("%d of %s have ended", i, plural(len(ids), "task"))
			return errors.Join(list.Close(), waitFailure(ctx, err, id))
		}
		if err := list.Add(t); err != nil {
			return err
		}
		if err := stateFailure(t); err != nil {
			code = worse(code, classify(err).code)
		}
	}
	if err := list.Close(); err != nil || code == exitOK {
		return err
	}
	return quietly(code)
}
