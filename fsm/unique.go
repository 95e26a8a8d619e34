package fsm

import "github.com/taskraft/taskraft/fsm/fsmpb"

// Unique keys: of the tasks with one key at most one lives. The index is a
// function of the tasks, so a key is free in the very entry in which its task
// ends, however it ends, or starts.

// uniqueKey is the key with which t keeps others out; "": it keeps nobody out.
func (t *Task) uniqueKey() string {
	x := t.Extra
	if x == nil || x.UniqueKey == "" || !t.live() || x.UntilStart && t.begun() || mutated("S20") && t.State == Running {
		return ""
	}
	return x.UniqueKey
}

// begun reports whether t has started in this generation; a broadcast starts by
// pinning its audience.
func (t *Task) begun() bool {
	b := t.broadcast()
	return t.Attempts > 0 || b != nil && b.Until != 0
}

// live reports whether t is in the table and has not ended.
func (t *Task) live() bool { return t.State != 0 && !t.State.Terminal() }

func (m *Machine) indexUnique(old, t *Task) {
	was, is := old.uniqueKey(), t.uniqueKey()
	switch {
	case was == is:
	case is != "":
		m.unique[is] = t.ID
	default:
		delete(m.unique, was)
	}
}

// free reports whether nothing but t itself has its unique key.
func (m *Machine) free(t *Task) bool {
	if t.Extra == nil {
		return true
	}
	id, taken := m.unique[t.Extra.UniqueKey]
	return !taken || id == t.ID
}

// entering follows tasks that are to enter together: which of their unique keys
// are taken by the table or by an earlier one of them, and how full their queues
// become.
type entering struct {
	m      *Machine
	strict bool // a taken key stands in the way; otherwise the task that has it is the one
	keys   map[string]bool
	queues map[*line]length
}

// length is what a queue with a limit of length holds: tasks that have not ended
// and the bytes of their payloads.
type length struct{ tasks, bytes int64 }

func (a length) plus(b length) length  { return length{a.tasks + b.tasks, a.bytes + b.bytes} }
func (a length) minus(b length) length { return length{a.tasks - b.tasks, a.bytes - b.bytes} }

// admits judges one more task: Accepted, UniqueKeyTaken with the task that has the
// key (0: an earlier one of these), or QueueFull. One that need not enter because
// its key is taken needs no room.
func (e *entering) admits(spec *fsmpb.TaskSpec) (o Outcome, holder uint64) {
	if e == nil {
		return Accepted, 0
	}
	if key := spec.GetUniqueKey(); key != "" {
		holder, taken := e.m.unique[key]
		if taken || e.keys[key] {
			if e.strict {
				return UniqueKeyTaken, holder
			}
			return Accepted, 0
		}
		if e.keys == nil {
			e.keys = make(map[string]bool)
		}
		e.keys[key] = true
	}
	l := e.m.lines[queueName(spec.GetQueue())]
	if l == nil || !l.bounded() {
		return Accepted, 0
	}
	if e.queues == nil {
		e.queues = make(map[*line]length)
	}
	e.queues[l] = e.queues[l].plus(length{1, int64(len(spec.GetPayload()))})
	if !l.fits(e.queues[l]) {
		return QueueFull, 0
	}
	return Accepted, 0
}

// obstacle judges the tasks of a staged batch as its commit would enter them: the
// place of the first that stands in the way, and the task that has its key.
func (m *Machine) obstacle(b *lot) (o Outcome, place, holder uint64) {
	in := entering{m: m, strict: true}
	for _, c := range b.rec.chunks {
		for i, spec := range c.tasks {
			if o, holder := in.admits(spec); o != Accepted {
				return o, c.offset + uint64(i), holder
			}
		}
	}
	return Accepted, 0, 0
}

// revivable judges whether a Dead or Cancelled task may start a new generation, and
// with a target the broadcast that it is one of: if that one has ended without success.
// While it is being cancelled none of its targets starts anew, and when retention has
// begun to remove them nothing of it does.
func (m *Machine) revivable(t *Task) Outcome {
	target := t.target() != nil
	if target {
		t = m.whole(t)
	}
	if t.broadcast() != nil && m.fading(t) {
		return Forgotten
	}
	if target {
		switch t.State {
		case Stopping:
			return NotTerminal
		case Running, Succeeded:
			return Accepted
		}
	}
	if !m.free(t) {
		return UniqueKeyTaken
	}
	if l := m.lines[t.Queue]; l.bounded() && !l.fits(length{1, int64(len(t.Payload))}) {
		return QueueFull
	}
	return Accepted
}

// bounded reports whether the queue has a limit of length.
func (l *line) bounded() bool {
	return l.rec.settings.MaxTasks != nil || l.rec.settings.MaxBytes != nil
}

// fits reports whether so much more stays within the queue's limits of length.
func (l *line) fits(more length) bool {
	s, all := l.rec.settings, length{l.unfinished(), l.liveBytes}.minus(l.targets).plus(more)
	return (s.MaxTasks == nil || uint64(all.tasks) <= *s.MaxTasks) && (s.MaxBytes == nil || uint64(all.bytes) <= *s.MaxBytes)
}

// unfinished counts the queue's tasks that have not ended.
func (l *line) unfinished() int64 {
	return l.packed + l.counts[Scheduled] + l.counts[Ready] + l.counts[Running] + l.counts[Stopping]
}
