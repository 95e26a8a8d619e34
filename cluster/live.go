package cluster

import (
	"container/list"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/taskraft/taskraft/fsm"
)

// What attempts say before they end, progress and output, never enters the log:
// the leader keeps it in its memory, within bounds. After a change of leader the
// workers say again what they still have.
const (
	// MaxOutput is what is kept of one task's output in bytes: the end of it.
	MaxOutput = 64 << 10
	// maxLiveBytes is what is kept of all tasks together, and maxLiveTasks of how
	// many; the task that was silent for longest goes first.
	maxLiveBytes = 32 << 20
	maxLiveTasks = 16 << 10
	chunkBytes   = 96 // counted for a chunk besides its data
)

// Progress is how far an attempt has come, as its handler says.
type Progress struct {
	Task, Fence uint64
	Fraction    float64
	Done, Total uint64
	Message     string
	At          int64 // when it was heard, Unix nanoseconds of the table's clock
}

// Output is a piece of what an attempt wrote; offsets count the bytes of all its
// streams together.
type Output struct {
	Task, Fence uint64
	Attempt     uint32
	Offset      uint64
	Stream      uint8
	Data        []byte
	End         bool // the attempt writes no more
}

// behind is the place behind a chunk, and where the next one begins.
func (o *Output) behind() mark { return mark{o.Fence, o.Offset + uint64(len(o.Data))} }

// mark is a place in all that the attempts of a task wrote.
type mark struct{ fence, offset uint64 }

func (p mark) before(q mark) bool {
	return p.fence < q.fence || p.fence == q.fence && p.offset < q.offset
}

// live is a leader's memory of it.
type live struct {
	followed atomic.Int64 // Follows: applied has nothing to do when there are none
	known    atomic.Int64 // tasks: a read has nothing to do when there are none

	mu    sync.Mutex // after table.mu and reign.mu
	tasks map[uint64]*liveTask
	order *list.List // of *liveTask, the one heard last in front
	bytes int
}

type liveTask struct {
	id       uint64
	at       *list.Element
	progress *Progress // frozen
	chunks   []Output  // frozen, in order of their places
	bytes    int
	end      mark   // behind the last chunk
	over     uint64 // the fence that writes no more
	follows  []*Follow
}

func newLive() *live { return &live{tasks: make(map[uint64]*liveTask), order: list.New()} }

// hear takes in what a worker says of fences that are its own.
func (v *live) hear(progress []*Progress, output []Output) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range progress {
		if t := v.heard(p.Task); t.progress == nil || t.progress.Fence <= p.Fence {
			t.progress = p
			t.wake()
		}
	}
	for i := range output {
		v.write(v.heard(output[i].Task), output[i])
	}
	for v.bytes > maxLiveBytes || len(v.tasks) > maxLiveTasks {
		if !v.evict() {
			break
		}
	}
	v.known.Store(int64(len(v.tasks)))
}

// heard returns the task, as the one heard last.
func (v *live) heard(id uint64) *liveTask {
	t := v.tasks[id]
	if t == nil {
		t = &liveTask{id: id}
		t.at = v.order.PushFront(t)
		v.tasks[id] = t
	} else {
		v.order.MoveToFront(t.at)
	}
	return t
}

// write appends what is new of a chunk and drops what is too much.
func (v *live) write(t *liveTask, o Output) {
	if o.Fence < t.end.fence {
		return // of an attempt before the present one
	}
	if o.Fence == t.end.fence && o.Offset < t.end.offset { // said again
		o.Data = o.Data[min(t.end.offset-o.Offset, uint64(len(o.Data))):]
		o.Offset = t.end.offset
	}
	if o.End {
		t.over = o.Fence
	}
	if len(o.Data) > 0 || t.end.before(o.behind()) { // an end that stands behind lost output is told, too
		t.chunks = append(t.chunks, o)
		t.end = o.behind()
		v.grow(t, len(o.Data)+chunkBytes)
		n := 0
		for ; t.bytes > MaxOutput && n < len(t.chunks)-1; n++ {
			v.grow(t, -len(t.chunks[n].Data)-chunkBytes)
		}
		t.chunks = slices.Delete(t.chunks, 0, n)
	}
	t.wake()
}

func (v *live) grow(t *liveTask, n int) {
	t.bytes += n
	v.bytes += n
}

// evict forgets the task that was silent for longest, except who follows it.
func (v *live) evict() bool {
	for at := v.order.Back(); at != nil; at = at.Prev() {
		t := at.Value.(*liveTask)
		if len(t.follows) == 0 {
			v.forget(t)
			return true
		}
		if t.bytes > 0 && v.bytes > maxLiveBytes {
			v.grow(t, -t.bytes)
			t.chunks = nil
			return true
		}
	}
	return false
}

func (v *live) forget(t *liveTask) {
	v.grow(t, -t.bytes)
	v.order.Remove(t.at)
	delete(v.tasks, t.id)
}

func (t *liveTask) wake() {
	for _, f := range t.follows {
		f.wake.ring()
	}
}

// changed wakes who follows a task whose record changed.
func (v *live) changed(id uint64) {
	if v.followed.Load() == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if t := v.tasks[id]; t != nil {
		t.wake()
	}
}

// read returns what was written behind p, the fence whose output is complete, and
// the progress.
func (v *live) read(id uint64, p mark) (out []Output, over uint64, progress *Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t := v.tasks[id]
	if t == nil {
		return nil, 0, nil
	}
	for _, o := range t.chunks {
		if !p.before(o.behind()) {
			continue
		}
		if o.Fence == p.fence && o.Offset < p.offset {
			o.Data, o.Offset = o.Data[p.offset-o.Offset:], p.offset
		}
		out = append(out, o)
	}
	return out, t.over, t.progress
}

// Hear takes in what the worker says of its attempts before they end; it keeps the
// slices and what is in them.
func (s *Stream) Hear(progress []*Progress, output []Output) {
	// Without leadership the stream is about to end, and all is said again.
	_ = s.l.e.hear(s.session.worker, progress, output)
}

// hear takes in what a worker says of its attempts, running or ended last; what it
// says of others is ignored.
func (e *engine) hear(worker string, progress []*Progress, output []Output) error {
	l, err := e.serving()
	if err != nil {
		return err
	}
	now := e.clock.now()
	e.t.mu.RLock()
	progress = slices.DeleteFunc(progress, func(p *Progress) bool {
		p.At = now
		return !attemptOf(e.t.m, worker, p.Task, p.Fence)
	})
	output = slices.DeleteFunc(output, func(o Output) bool { return !attemptOf(e.t.m, worker, o.Task, o.Fence) })
	e.t.mu.RUnlock()
	if len(progress)+len(output) > 0 {
		l.live.hear(progress, output)
	}
	return nil
}

// attemptOf reports whether a task's present or last attempt is this one.
func attemptOf(m *fsm.Machine, worker string, id, fence uint64) bool {
	t, _ := m.Task(id)
	if t == nil {
		return false
	}
	if t.Fence != 0 {
		return t.Fence == fence && t.Worker == worker
	}
	n := len(t.Ended)
	return n > 0 && t.Ended[n-1].Fence == fence && t.Ended[n-1].Worker == worker
}

// progress returns what the present attempt of a task said last.
func (e *engine) progress(t *fsm.Task) *Progress {
	l := e.lead.Load()
	if l == nil || l.live.known.Load() == 0 || !l.open.Load() || (t.State != fsm.Running && t.State != fsm.Stopping) {
		return nil
	}
	l.live.mu.Lock()
	defer l.live.mu.Unlock()
	if v := l.live.tasks[t.ID]; v != nil && v.progress != nil && v.progress.Fence == t.Fence {
		return v.progress
	}
	return nil
}
