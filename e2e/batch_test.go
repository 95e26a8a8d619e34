package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
	"github.com/taskraft/taskraft/worker"
)

// TestBatchIsWholeOrNotAtAll kills the leader in the middle of the staging of a
// batch of 10,000 tasks, which the client goes on with, and beside it leaves
// another one half staged. The first is there whole, the other not at all. Then the
// batch is worked off through another kill, some of it dies and is retried: what
// was to follow its end was submitted once.
func TestBatchIsWholeOrNotAtAll(t *testing.T) {
	const n = 10_000
	c := newCluster(t)
	cl := newClient(t, c.Addrs())
	ctx := within(t, 3*time.Minute)
	b := client.Batch{Name: "whole", FollowUp: []client.Task{{Queue: "after", Kind: "report"}}, OnSuccess: []client.Task{{Queue: "after", Kind: "cheers"}}}
	for i := range n {
		b.Tasks = append(b.Tasks, client.Task{Queue: "bulk", Kind: "step", Payload: fmt.Appendf(make([]byte, 0, 1100), "%01000d", i), MaxAttempts: 1})
	}
	left, drop := context.WithCancel(ctx)
	dropped := make(chan error, 1)
	go func() {
		_, err := newClient(t, c.Addrs()).SubmitBatch(left, client.Batch{Name: "left", Tasks: b.Tasks})
		dropped <- err
	}()
	staged := func(name string) uint64 {
		for x, err := range cl.Batches(ctx) {
			must(t, err)
			if x.GetName() == name && x.GetState() == taskraftv1.BatchState_BATCH_STAGING {
				return x.GetTotal()
			}
		}
		return 0
	}
	must(t, proc.Poll(ctx, time.Millisecond, "the batch to leave is staged in part", func() bool { return staged("left") > 0 }))
	drop()
	if err := <-dropped; err == nil {
		t.Error("the batch to leave was submitted before it could be left")
	}
	type answer struct {
		r   client.BatchReceipt
		err error
	}
	got := make(chan answer, 1)
	go func() {
		r, err := cl.SubmitBatch(ctx, b)
		got <- answer{r, err}
	}()
	must(t, proc.Poll(ctx, time.Millisecond, "the batch is staged in part", func() bool { return staged("whole") > 0 }))
	leader, err := c.Leader(ctx)
	must(t, err)
	must(t, leader.Kill())
	a := <-got
	must(t, a.err)
	must(t, leader.Start())
	if a.r.Total != n || a.r.Existing {
		t.Errorf("receipt %+v", a.r)
	}
	last, err := cl.Get(ctx, a.r.First+n-1)
	must(t, err)
	if want := fmt.Sprintf("%01000d", n-1); string(last.GetSpec().GetPayload()) != want || last.GetBatch() != a.r.ID {
		t.Errorf("the last task is %v", last)
	}
	total := 0
	for task, err := range cl.List(ctx, "", client.WithLinearizable()) {
		must(t, err)
		if task.GetBatch() != a.r.ID {
			t.Errorf("task %d is of batch %d, want none but %d", task.GetId(), task.GetBatch(), a.r.ID)
		}
		total++
	}
	if total != n {
		t.Errorf("%d tasks are listed, want %d", total, n)
	}
	workOff(t, c, cl, a.r)
	followed(t, c, cl)
}

// workOff completes the batch but for a hundred tasks, which die; the leader is
// killed in between. Then the dead are retried in bulk and succeed.
func workOff(t *testing.T, c *proc.Cluster, cl *client.Client, r client.BatchReceipt) {
	ctx := within(t, 2*time.Minute)
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	var failed sync.Map // by task id
	go func() {
		ended <- worker.Run(run, worker.Config{
			Masters: c.Addrs(), ID: "stepper", Slots: 64, Queues: []worker.Queue{{Name: "bulk"}},
			Handlers: map[string]worker.Handler{"step": func(_ context.Context, task *worker.Task) (worker.Result, error) {
				if _, again := failed.LoadOrStore(task.ID, true); !again && bytes.HasSuffix(task.Payload, []byte("42")) {
					return worker.Result{}, fmt.Errorf("row %d is locked by 'job %d'", task.ID, task.Fence)
				}
				return worker.Result{}, nil
			}},
		})
	}()
	must(t, proc.Poll(ctx, 5*time.Millisecond, "a part of the batch succeeds", func() bool {
		b, err := cl.Batch(ctx, r.ID, client.WithStale())
		return err == nil && b.GetSucceeded() > 1000
	}))
	leader, err := c.Leader(ctx)
	must(t, err)
	must(t, leader.Kill())
	b, err := cl.WaitBatch(ctx, r.ID)
	must(t, err)
	must(t, leader.Start())
	if b.GetSucceeded() != r.Total-100 || b.GetDead() != 100 {
		t.Errorf("the batch ended as %v", b)
	}
	var groups []*taskraftv1.DeadGroup
	for g, err := range cl.DeadGroups(ctx, client.DeadFilter{Queue: "bulk"}, client.WithLinearizable()) {
		must(t, err)
		groups = append(groups, g)
	}
	if len(groups) != 1 || groups[0].GetCount() != 100 || groups[0].GetError() != "row # is locked by #" {
		t.Fatalf("dead groups %v", groups)
	}
	retried, err := cl.RetryDead(ctx, client.DeadFilter{Group: groups[0].GetId()})
	must(t, err)
	if b, err = cl.WaitBatch(ctx, r.ID); err != nil || retried != 100 || b.GetSucceeded() != r.Total {
		t.Errorf("after a retry of %d: %v, %v", retried, b, err)
	}
	stop()
	if err := <-ended; err != nil && run.Err() == nil {
		t.Error(err)
	}
}

// followed checks that each follow-up was submitted once.
func followed(t *testing.T, c *proc.Cluster, cl *client.Client) {
	t.Helper()
	var kinds []string
	for task, err := range cl.List(within(t, time.Minute), "queue=after", client.WithLinearizable()) {
		must(t, err)
		kinds = append(kinds, task.GetSpec().GetKind())
	}
	slices.Sort(kinds)
	if got := strings.Join(kinds, " "); got != "cheers report" {
		t.Errorf("submitted with the batch's end: %q, want each once", got)
	}
	if _, _, err := c.Digest(within(t, time.Minute)); err != nil {
		t.Errorf("the masters' tables (C1): %v", err)
	}
}

// TestWordcount counts the words of the repository's texts by map and reduce,
// through a kill of the leader, and compares with a count of its own.
func TestWordcount(t *testing.T) {
	c := newCluster(t)
	cl := newClient(t, c.Addrs())
	program := filepath.Join(scratch, "wordcount")
	must(t, build(t.Context(), "./examples/wordcount", program))
	files, err := filepath.Glob(filepath.Join(repository, "*.md"))
	must(t, err)
	more, err := filepath.Glob(filepath.Join(repository, "docs", "*.md"))
	must(t, err)
	files = append(files, more...)
	ctx := within(t, 2*time.Minute)
	cmd := exec.CommandContext(ctx, program, append([]string{"-masters", strings.Join(c.Addrs(), ","), "-slow", "100ms", "-top", "50"}, files...)...)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	must(t, cmd.Start())
	must(t, proc.Poll(ctx, 5*time.Millisecond, "some map tasks succeed", func() bool {
		b, err := cl.Batch(ctx, 1, client.WithStale())
		return err == nil && b.GetSucceeded() >= 5
	}))
	leader, err := c.Leader(ctx)
	must(t, err)
	must(t, leader.Kill())
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, talk.String())
	}
	if want := countWords(t, files, 50); out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	b, err := cl.Batch(ctx, 1)
	must(t, err)
	if b.GetTotal() != 21 || b.GetSucceeded() != 21 {
		t.Errorf("the batch is %v", b)
	}
}

// countWords counts without tasks.
func countWords(t *testing.T, files []string, top int) string {
	t.Helper()
	counts := make(map[string]int)
	for _, name := range files {
		text, err := os.ReadFile(name)
		must(t, err)
		for _, w := range strings.FieldsFunc(string(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			counts[strings.ToLower(w)]++
		}
	}
	var words []string
	for w := range counts {
		words = append(words, w)
	}
	slices.SortFunc(words, func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	var b strings.Builder
	for _, w := range words[:top] {
		fmt.Fprintf(&b, "%7d %s\n", counts[w], w)
	}
	return b.String()
}
