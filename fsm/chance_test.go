package fsm

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// chance draws one entry's commands from a seed. It draws what hits: few
// workers, few queues, ids and fences that exist or nearly do. (rapid draws the
// seeds and removes entries to shrink; its own ranges favour small numbers and
// would seldom get far.)
type chance struct {
	seed uint64
	m    *Machine
}

// n draws a number from lo to hi.
func (c *chance) n(lo, hi int64) int64 {
	c.seed++
	return lo + int64(splitmix64(splitmix64(c.seed))%uint64(hi-lo+1))
}

// one is true once in so many times.
func (c *chance) one(in int64) bool { return c.n(1, in) == 1 }

func (c *chance) pick(of ...string) string { return of[c.n(0, int64(len(of))-1)] }

func (c *chance) queue() string { return c.pick("", "mail", "news") }

// worker draws a process: mostly the present one of its worker, or else one
// that was replaced or is new.
func (c *chance) worker() (worker, boot string) {
	worker = c.pick("w1", "w2", "w3")
	w := c.m.known[worker]
	switch {
	case w == nil:
		return worker, "b0"
	case !c.one(6):
		return worker, w.rec.boot
	default:
		return worker, fmt.Sprint("b", c.n(0, int64(len(w.rec.retired))+1))
	}
}

func (c *chance) id() uint64 { return uint64(c.n(0, int64(c.m.lastTask)+1)) }

func (c *chance) fence() uint64 { return uint64(c.n(0, int64(c.m.lastFence)+1)) }

func (c *chance) session() uint64 {
	if ids := c.m.sessions.Keys(); len(ids) > 0 && !c.one(10) {
		return ids[c.n(0, int64(len(ids))-1)]
	}
	return uint64(c.n(0, int64(c.m.lastSession)+1))
}

// attempt draws who reports on which attempt: mostly one that is alive.
func (c *chance) attempt() (worker, boot string, task, fence uint64) {
	if c.one(10) || c.m.lastTask == 0 {
		worker, boot = c.worker()
		return worker, boot, c.id(), c.fence()
	}
	var t *Task
	for range 5 {
		if u, _ := c.m.Task(c.id()); u != nil {
			t = u
		}
		if t != nil && t.Fence != 0 {
			break
		}
	}
	if t == nil {
		return "w1", "a", c.id(), c.fence()
	}
	if len(t.Ended) > 0 && (t.Fence == 0 || c.one(3)) {
		e := t.Ended[c.n(0, int64(len(t.Ended))-1)]
		return e.Worker, e.Boot, t.ID, e.Fence
	}
	return t.Worker, t.Boot, t.ID, t.Fence
}

func (c *chance) spec() *fsmpb.TaskSpec {
	s := &fsmpb.TaskSpec{
		Queue: c.queue(), Payload: make([]byte, c.n(0, 3)), RequestId: c.pick("", "", "", "r1", "r2"),
		ContentDigest: uint64(c.n(0, 1)), Timeout: new(c.n(1, 20) * Second),
		Priority: new(int32(c.n(-1, 1))), MaxAttempts: new(uint32(c.n(1, 4))),
		BackoffBase: new(c.n(0, 3) * Second),
	}
	switch c.n(0, 5) {
	case 0:
		s.Delay = c.n(0, 20) * Second
	case 1:
		s.ExpiresIn = c.n(1, 20) * Second
	}
	if c.one(2) {
		s.Retain = new(c.n(0, 60) * Second)
	}
	if c.one(3) {
		s.Require = c.require()
	}
	if c.one(3) {
		s.ConcurrencyKey = c.pick("k1", "k2")
	}
	return s
}

func (c *chance) require() []*fsmpb.Label {
	labels := []*fsmpb.Label{{Key: "b", Value: c.pick("1", "2")}, {Key: "a", Value: "1"}, {Key: "b", Value: c.pick("1", "2")}}
	return labels[c.n(0, 2):c.n(2, 3)]
}

// labels are those of a session; a Go map.
func (c *chance) labels() map[string]string {
	return map[string]string{"a": c.pick("1", "1", "2"), "b": c.pick("1", "2"), "c": "3"}
}

// settings change some of a queue's and unset others.
func (c *chance) settings() *fsmpb.SetQueue {
	q := &fsmpb.SetQueue{Queue: c.queue()}
	if c.one(2) {
		q.Paused = new(c.one(3))
	}
	if c.one(2) {
		return q
	}
	q.Settings = &fsmpb.QueueSettings{}
	switch c.n(0, 5) {
	case 0:
		q.Settings.RetainCount, q.Settings.RetainBytes = new(uint64(c.n(0, 5))), proto.Uint64(9)
	case 1:
		q.Settings.MaxRunning = new(uint32(c.n(0, 3)))
	case 2:
		q.Settings.MaxRunningPerKey = new(uint32(c.n(0, 2)))
	case 3:
		q.Settings.Rate = &fsmpb.RateLimit{Tokens: uint32(c.n(0, 3)), Period: c.n(0, 20) * Second, Burst: uint32(c.n(0, 3))}
	case 4:
		q.Settings.Ageing = new(c.n(0, 10) * Second)
	default:
		q.Unset = []uint32{uint32(c.n(7, 12)), uint32(c.n(7, 12))}
	}
	return q
}

func (c *chance) open() *fsmpb.OpenSession {
	worker, boot := c.worker()
	o := &fsmpb.OpenSession{
		Worker: worker, Boot: boot, Slots: uint32(c.n(1, 4)), Takeover: c.one(3),
		Labels: c.labels(),
		Queues: []*fsmpb.QueueWeight{{Queue: c.queue(), Weight: 1}, {Queue: c.queue(), Weight: uint32(c.n(0, 3))}},
	}
	for range c.n(0, 4) {
		_, _, _, fence := c.attempt()
		o.Held = append(o.Held, fence)
	}
	return o
}

// command draws one command of any kind.
func (c *chance) command() *fsmpb.Command {
	worker, boot, task, fence := c.attempt()
	who := worker + "/" + boot
	digest := uint64(c.n(0, 1))
	var cmd *fsmpb.Command
	switch c.n(0, 24) {
	case 0, 1, 2, 3:
		specs := make([]*fsmpb.TaskSpec, c.n(1, 3))
		for i := range specs {
			specs[i] = c.spec()
		}
		cmd = submitCmd(specs...)
	case 4, 5, 6, 7, 8:
		return assignCmd(c.session(), uint32(c.n(0, 3)))
	case 9, 10, 11:
		cmd = completeCmd(who, &fsmpb.Completion{Task: task, Fence: fence, Digest: digest, Result: make([]byte, c.n(0, 3))})
	case 12, 13:
		cmd = failCmd(who, &fsmpb.Failure{
			Task: task, Fence: fence, Digest: digest, Error: "e", Permanent: c.one(4),
			Snooze: c.one(4), RetryAfter: c.n(0, 2) * Second,
		})
	case 14:
		cmd = releaseCmd(who, &fsmpb.Handback{Task: task, Fence: fence})
	case 15:
		cmd = cancelCmd(c.pick("", "x"), c.id())
	case 16:
		cmd = retryCmd(c.id())
	case 17, 18:
		return openCmd(c.open())
	case 19:
		return updateCmd(&fsmpb.UpdateSession{
			Session: c.session(), Slots: uint32(c.n(0, 4)), Draining: c.one(5),
			PollSeq: uint64(c.n(0, 4)), PollMax: 2, Beats: c.one(3), Queues: []*fsmpb.QueueWeight{{Queue: c.queue(), Weight: 1}, {Queue: c.queue(), Weight: uint32(c.n(1, 2))}},
			Labels: c.labels(),
		})
	case 20:
		return closeCmd(c.session())
	case 21, 22:
		return expireCmd(c.session())
	case 23:
		return spareCmd(c.m.now - c.n(-2, 20)*Second)
	default:
		cmd = queueCmd(c.settings())
	}
	if c.one(5) {
		seq := uint64(c.n(1, 6))
		cmd.Call = &fsmpb.Call{
			Client: []byte(c.pick("c1", "c2")), Seq: seq,
			AckedBelow: uint64(c.n(0, int64(seq))), Repeat: c.one(2),
		}
	}
	return cmd
}
