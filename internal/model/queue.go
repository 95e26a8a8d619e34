package model

import (
	"cmp"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

type queue struct {
	name   string
	paused bool
	set    *fsmpb.QueueSettings
	earned int64 // when the rate limit's tokens that were taken are earned
}

// queue returns a queue, made on first use.
func (m *Table) queue(name string) *queue {
	q := m.queues[name]
	if q == nil {
		q = &queue{name: name, set: new(fsmpb.QueueSettings)}
		m.queues[name] = q
	}
	return q
}

// setQueue changes what the command names: what it unsets first, then what it sets.
func (m *Table) setQueue(c *fsmpb.SetQueue) Result {
	knownFields(c.GetSettings().ProtoReflect(), 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12)
	q := m.queue(c.GetQueue())
	if c.Paused != nil {
		q.paused = c.GetPaused()
	}
	set := proto.CloneOf(q.set)
	fields := set.ProtoReflect()
	for _, n := range c.GetUnset() {
		if f := fields.Descriptor().Fields().ByNumber(protoreflect.FieldNumber(n)); f != nil {
			fields.Clear(f)
		}
	}
	if c.GetSettings() != nil {
		c.GetSettings().ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			fields.Set(f, v)
			return true
		})
	}
	q.set = set
	return Result{Outcome: "ACCEPTED"}
}

// usage counts what runs: by queue, and by queue and concurrency key. What is
// stopping still has its place (S9).
type usage map[[2]string]int

func (m *Table) usage() usage {
	u := make(usage)
	for _, t := range m.tasks {
		if t.held() && t.Of == 0 {
			u[[2]string{t.Queue}]++
			if t.Key != "" {
				u[[2]string{t.Queue, t.Key}]++
			}
		}
	}
	return u
}

// room reports whether the queue's own limits let one more task of a concurrency
// key run.
func (u usage) room(q *queue, key string) bool {
	if q.set.MaxRunning != nil && u[[2]string{q.name}] >= int(q.set.GetMaxRunning()) {
		return false
	}
	return key == "" || u[[2]string{q.name, key}] < int(pick(nil, q.set.MaxRunningPerKey, 1))
}

// token reports whether the queue's rate limit lets an attempt start now, and
// takes what that costs if take is set.
func (m *Table) token(q *queue, take bool) bool {
	rate := q.set.GetRate()
	if rate == nil {
		return true
	}
	each := rate.GetPeriod() / int64(rate.GetTokens())
	next := max(q.earned, m.now-each*int64(rate.GetBurst())) + each
	if next > m.now {
		return false
	}
	if take {
		q.earned = next
	}
	return true
}

// trimmedPerEnd is how many records the end of one task removes at most; more is
// left to ticks.
const trimmedPerEnd = 4

// trim removes terminal records above the queue's limit, those whose time comes
// first before the others; of a broadcast its targets, the newest first, and then it.
func (m *Table) trim(q *queue, most int) {
	keep := int(pick(nil, q.set.RetainCount, 100_000))
	for range most {
		n := 0
		for _, t := range m.tasks {
			if t.Queue == q.name && t.Terminal() {
				n++
			}
		}
		if n <= keep {
			return
		}
		done := m.sorted(func(t *Task) bool { return t.Queue == q.name && m.trimmable(t) }, byRetention)
		if len(done) == 0 {
			return
		}
		next := done[0]
		if targets := m.targetsOf(next.ID); len(targets) > 0 {
			next = targets[len(targets)-1]
		}
		m.drop(next)
	}
}

func byRetention(a, b *Task) int {
	return cmp.Or(cmp.Compare(a.Finished+a.Retain, b.Finished+b.Retain), byID(a, b))
}
