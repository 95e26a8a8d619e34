package cli

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
)

const (
	batchTasks = 500
	batchBytes = 512 << 10
	// progressEvery is how often a long submit says how far it is.
	progressEvery = 2 * time.Second
)

// receipt is one accepted task, as -o json shows it.
type receipt struct {
	ID       string `json:"id"`
	Existing bool   `json:"existing"`
}

// submitter sends tasks in batches and prints the ids as they are acknowledged.
type submitter struct {
	app      *app
	client   *client.Client
	ids      []uint64 // kept only as long as --wait may need them
	accepted int
	list     *show.List[receipt]
	silent   bool // --wait prints results instead of ids
	batch    []client.Task
	bytes    int
	told     time.Time
}

func (a *app) newSubmitter(c *client.Client, f *submitFlags) *submitter {
	name := func(r receipt) string { return r.ID }
	p := a.printer()
	if p.Format == show.Tabular { // ids alone, for scripts
		p.Format = show.Name
	}
	return &submitter{app: a, client: c, told: time.Now(), silent: f.wait || f.follow, list: show.NewList(p, "receipts", name, []show.Column[receipt]{
		{Head: "ID", Right: true, Cell: name},
		{Head: "EXISTING", Cell: func(r receipt) string { return yes(r.Existing) }},
	})}
}

// one submits a single task by itself.
func (s *submitter) one(ctx context.Context, t client.Task) error {
	ctx, cancel := s.app.call(ctx)
	defer cancel()
	r, err := s.client.Submit(ctx, t)
	if err != nil {
		return err
	}
	return s.took([]client.Receipt{r})
}

// add puts a task into the batch and sends the batch when it is full.
func (s *submitter) add(ctx context.Context, t client.Task) error {
	size := len(t.Payload) + 128
	if len(s.batch) > 0 && s.bytes+size > batchBytes {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	s.batch = append(s.batch, t)
	s.bytes += size
	if len(s.batch) >= batchTasks {
		return s.flush(ctx)
	}
	return nil
}

func (s *submitter) flush(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	ctx, cancel := s.app.call(ctx)
	defer cancel()
	batch := s.batch
	s.batch, s.bytes = s.batch[:0], 0
	receipts, err := s.client.SubmitMany(ctx, batch)
	if err != nil {
		return err
	}
	if err := s.took(receipts); err != nil {
		return err
	}
	if time.Since(s.told) > progressEvery {
		s.told = time.Now()
		s.app.talk("%d submitted …", s.accepted)
	}
	return nil
}

// flushKnown sends what was read before a task that cannot be read.
func (s *submitter) flushKnown(ctx context.Context, err error) error {
	if f, ok := errors.AsType[*failure](err); ok && f.code == exitUsage {
		return s.flush(ctx)
	}
	return nil
}

func (s *submitter) took(receipts []client.Receipt) error {
	for _, r := range receipts {
		s.accepted++
		s.ids = append(s.ids, r.ID)
		if r.Existing && s.app.printer().People() {
			s.app.talk("task %d existed already: same request id, same content", r.ID)
		}
		if s.silent {
			continue
		}
		if err := s.list.Add(receipt{strconv.FormatUint(r.ID, 10), r.Existing}); err != nil {
			return err
		}
	}
	return nil
}

// cutShort says how much was accepted before an error.
func (s *submitter) cutShort(err error) error {
	if s.accepted > 0 {
		s.app.talk("%s accepted before that", plural(s.accepted, "task"))
	}
	return errors.Join(err, s.close())
}

// close ends the list of ids, if there is one.
func (s *submitter) close() error {
	if s.silent {
		return nil
	}
	return s.list.Close()
}

// finish sends the rest, and waits if it should.
func (s *submitter) finish(ctx context.Context, f *submitFlags) error {
	if err := s.flush(ctx); err != nil {
		return s.cutShort(err)
	}
	if !f.wait && !f.follow {
		return s.close()
	}
	ctx, cancel := forAtMost(ctx, f.most)
	defer cancel()
	if f.follow {
		s.app.talk("task %d", s.ids[0])
		return s.app.followTask(ctx, s.client, s.ids[0])
	}
	if isTerminal(s.app.Err) && s.app.printer().People() {
		s.app.talk("waiting for %s from %d on", plural(len(s.ids), "task"), s.ids[0])
	}
	if len(s.ids) == 1 && f.broadcast.selector.given {
		return s.app.waitBroadcast(ctx, s.client, s.ids[0])
	}
	if len(s.ids) == 1 {
		return s.app.waitOne(ctx, s.client, s.ids[0])
	}
	return s.app.waitMany(ctx, s.client, s.ids)
}
