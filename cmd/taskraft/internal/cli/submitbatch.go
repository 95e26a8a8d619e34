package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
)

// maxBatchTasks is what one batch may have.
const maxBatchTasks = 100_000

// batchReceipt is an accepted batch, as -o json shows it.
type batchReceipt struct {
	Batch     string `json:"batch"`
	FirstTask string `json:"first_task"`
	Total     uint64 `json:"total"`
	Existing  bool   `json:"existing"`
}

// submitBatch submits what the flags or a file describe as one batch.
func (a *app) submitBatch(ctx context.Context, c *client.Client, f *submitFlags) error {
	b := client.Batch{Name: f.batch, RequestID: f.requestID}
	var err error
	if b.Tasks, err = a.batchTasks(f); err != nil {
		return err
	}
	callCtx, cancel := a.call(ctx)
	r, err := c.SubmitBatch(callCtx, b)
	cancel()
	if err != nil {
		return err
	}
	if f.wait {
		ctx, cancel := forAtMost(ctx, f.most)
		defer cancel()
		return a.waitBatch(ctx, c, r.ID)
	}
	out := batchReceipt{strconv.FormatUint(r.ID, 10), strconv.FormatUint(r.First, 10), r.Total, r.Existing}
	p := a.printer()
	if p.Format == show.Tabular { // the id alone, for scripts
		p.Format = show.Name
		a.talk("batch %d has tasks %d to %d", r.ID, r.First, r.First+r.Total-1)
	}
	list := show.NewList(p, "batches", func(r batchReceipt) string { return r.Batch }, []show.Column[batchReceipt]{
		{Head: "BATCH", Right: true, Cell: func(r batchReceipt) string { return r.Batch }},
		{Head: "FIRST", Right: true, Cell: func(r batchReceipt) string { return r.FirstTask }},
		{Head: "TASKS", Right: true, Cell: func(r batchReceipt) string { return strconv.FormatUint(r.Total, 10) }},
		{Head: "EXISTING", Cell: func(r batchReceipt) string { return yes(r.Existing) }},
	})
	if err := list.Add(out); err != nil {
		return err
	}
	return list.Close()
}

// batchTasks returns all tasks that the flags or a file describe.
func (a *app) batchTasks(f *submitFlags) ([]client.Task, error) {
	base, err := a.task(f)
	if err != nil {
		return nil, err
	}
	if f.file == "" {
		if f.count > maxBatchTasks {
			return nil, usage(fmt.Sprintf("--count %d is more than a batch may have", f.count), fmt.Sprintf("at most %d, or leave --batch out", maxBatchTasks))
		}
		tasks := make([]client.Task, f.count)
		for i := range tasks {
			tasks[i] = base
		}
		return tasks, nil
	}
	in, err := a.open(f.file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var tasks []client.Task
	for t, err := range readTasks(in, base) {
		if err != nil {
			return nil, fail(exitUsage, "taskraft submit --help, for the keys", "%s: task %d: %w", inputName(f.file), len(tasks)+1, err)
		}
		if len(tasks) == maxBatchTasks {
			return nil, usage(inputName(f.file)+" has more tasks than a batch may have", fmt.Sprintf("at most %d, or leave --batch out", maxBatchTasks))
		}
		tasks = append(tasks, t)
	}
	return tasks, nil
}

// idList is a setting of task ids.
type idList struct{ p *[]uint64 }

func idsValue(p *[]uint64) settings.Value { return idList{p} }

func (v idList) Set(texts []string) error {
	ids, bad := parseIDs(texts)
	if len(bad) > 0 {
		return &settings.Invalid{Problem: bad[0].Problem, Want: "task ids like 1042,1043"}
	}
	*v.p = ids
	return nil
}

func (v idList) String() string {
	words := make([]string, len(*v.p))
	for i, id := range *v.p {
		words[i] = strconv.FormatUint(id, 10)
	}
	return strings.Join(words, ",")
}
