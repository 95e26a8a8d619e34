package model

import (
	"cmp"
	"hash/fnv"
	"regexp"
	"slices"
	"strings"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

const keepSweeps = 64 // of those that are done

// Sweep is a bulk cancellation: of the tasks that matched at its index and had not
// ended, those that it cancelled, and those that ended by themselves.
type Sweep struct {
	ID                        uint64
	Reason                    string
	Started, Finished         int64
	Matched, Cancelled, Ended uint64
}

// sweep cancels what matches and has not ended at its index, and nothing else (S14).
func (m *Table) sweep(c *fsmpb.Sweep) Result {
	what := c.GetWhat()
	for _, s := range what.GetStates() {
		if states[s] == Succeeded || states[s] == Dead || states[s] == Cancelled {
			panic(gap("a sweep of what has ended"))
		}
	}
	meant := m.sorted(func(t *Task) bool { return !t.Terminal() && m.matches(t, what) }, byID)
	m.lastSweep++
	s := &Sweep{
		ID: m.lastSweep, Reason: reasonOf(c.GetReason()), Started: m.now, Finished: m.now, Matched: uint64(len(meant)),
	}
	for _, t := range meant {
		if m.cancelOne(t.ID, s.Reason) == "ACCEPTED" {
			s.Cancelled++
		} else {
			s.Ended++
		}
	}
	m.sweeps = append(m.sweeps, s)
	m.sweeps = m.sweeps[max(0, len(m.sweeps)-keepSweeps):]
	return Result{Outcome: "ACCEPTED", IDs: []uint64{s.ID}, Count: s.Matched}
}

// states are numbered in the log as the API lists them.
var states = []string{"", Scheduled, Ready, Running, Stopping, Succeeded, Dead, Cancelled}

// matches says whether a filter chooses a task: all that it says must hold.
func (m *Table) matches(t *Task, f *fsmpb.TaskFilter) bool {
	if f.GetGroup() != 0 {
		panic(gap("a filter by group"))
	}
	stated := len(f.GetStates()) == 0 || slices.ContainsFunc(f.GetStates(), func(s uint32) bool { return states[s] == t.State })
	batched := f.GetBatch() == 0 || t.Batch == f.GetBatch() && m.batches[f.GetBatch()] != nil
	labelled := !slices.ContainsFunc(f.GetLabels(), func(l *fsmpb.Label) bool {
		return !slices.ContainsFunc(t.labels, func(o *fsmpb.Label) bool { return o.GetKey() == l.GetKey() && o.GetValue() == l.GetValue() })
	})
	return stated && batched && labelled &&
		(f.GetQueue() == "" || t.Queue == f.GetQueue()) && (f.GetKind() == "" || t.Kind == f.GetKind()) &&
		(f.GetWorker() == "" || t.keeper() == f.GetWorker()) &&
		(f.GetSince() == 0 || t.Submitted >= f.GetSince()) && (f.GetUntil() == 0 || t.Submitted < f.GetUntil()) &&
		t.ID >= f.GetFirst() && (f.GetLast() == 0 || t.ID <= f.GetLast())
}

// keeper is the worker that holds the task, or held it last.
func (t *Task) keeper() string {
	if t.Fence == 0 && len(t.ended) > 0 {
		return t.ended[len(t.ended)-1].worker
	}
	return t.Worker
}

// retryDead begins the next generation of what is dead at its index and matches. What
// finds its unique key taken stays dead: groups have their turns in the order of their
// ids, in a group who died first.
func (m *Table) retryDead(c *fsmpb.RetryDead) Result {
	meant := m.sorted(func(t *Task) bool {
		return t.State == Dead && (c.GetQueue() == "" || t.Queue == c.GetQueue()) && (c.Kind == nil || t.Kind == c.GetKind()) &&
			(c.GetGroup() == 0 || t.group() == c.GetGroup())
	}, func(a, b *Task) int {
		return cmp.Or(cmp.Compare(a.group(), b.group()), cmp.Compare(a.Finished, b.Finished), byID(a, b))
	})
	for _, t := range meant {
		if m.tasks[t.ID] == t && m.revivable(t) == "ACCEPTED" {
			m.revive(t)
		}
	}
	return Result{Outcome: "ACCEPTED", Count: uint64(len(meant))}
}

// varying is what errors of one group may differ in: quoted parts, hexadecimal words and
// numbers.
var varying = regexp.MustCompile(`"[^"]*"|'[^']*'|` + "`[^`]*`" + `|\b0x\w+|\b[0-9A-Fa-f-]{8,}\b|[0-9]+`)

// group names the group of a dead task: the hash (FNV-1a) of queue, kind and what its
// error, or why it is dead, has in common with others.
func (t *Task) group() uint64 {
	text := varying.ReplaceAllStringFunc(cmp.Or(t.Error, t.Reason), func(part string) string {
		if strings.ContainsAny(part, "0123456789\"'`") {
			return "#"
		}
		return part
	})
	h := fnv.New64a()
	for _, part := range []string{t.Queue, t.Kind, strings.Join(strings.Fields(text), " ")} {
		h.Write([]byte(part + "\xff"))
	}
	return max(h.Sum64(), 1)
}
