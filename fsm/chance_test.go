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
	if c.one(5) {
		s.Broadcast = &fsmpb.BroadcastSpec{Require: uint32(c.n(0, 3)), Patience: c.n(1, 40) * Second, Late: c.one(3)}
		if c.one(2) {
			s.Broadcast.Selector = []*fsmpb.Label{{Key: "b", Value: c.pick("2", "3")}}
		}
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
	if c.one(4) {
		s.After, s.AfterRun = []uint64{c.id(), c.id()}[:c.n(1, 2)], c.one(2)
	}
	if c.one(6) {
		s.OnSuccess, s.OnDead = []*fsmpb.TaskSpec{{Kind: "succeeded", RequestId: "r1"}}, []*fsmpb.TaskSpec{{Kind: "dead", Queue: "new", UniqueKey: "u1"}}
	}
	if c.one(4) {
		s.Labels = labelsIn(c.pick("a", "b"), c.pick("1", "2"))
	}
	if c.one(4) {
		s.UniqueKey, s.UniqueUntilStart = c.pick("u1", "u2"), c.one(2)
	}
	if c.one(5) {
		s.Traceparent, s.Tracestate = []byte(c.pick("t1", "t2")), c.pick("", "v=1")
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
	switch c.n(0, 7) {
	case 6:
		q.Settings.SelfFence = new(c.one(2))
	case 5:
		q.Settings.MaxTasks, q.Settings.MaxBytes = new(uint64(c.n(3, 12))), new(uint64(c.n(0, 20)))
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
		q.Unset = []uint32{uint32(c.n(7, 14)), uint32(c.n(7, 14))}
	}
	return q
}

// specs draws tasks of one call, some of which wait for others of it.
func (c *chance) specs(most int64) []*fsmpb.TaskSpec {
	specs := make([]*fsmpb.TaskSpec, c.n(1, most))
	for i := range specs {
		specs[i] = c.spec()
		if c.one(3) {
			specs[i].AfterItems, specs[i].AfterRun = []uint32{uint32(c.n(0, int64(len(specs))))}, c.one(2)
		}
	}
	return specs
}

func (c *chance) batch() *fsmpb.BatchSpec {
	return &fsmpb.BatchSpec{
		RequestId: c.pick("", "", "b1", "b2"), ContentDigest: uint64(c.n(0, 1)),
		FollowUp: []*fsmpb.TaskSpec{{Kind: "ended"}}, OnSuccess: []*fsmpb.TaskSpec{{Kind: "all succeeded", After: []uint64{1}}},
	}
}

// batchCommand draws one command about a batch: mostly what comes next for an open one.
func (c *chance) batchCommand() *fsmpb.Command {
	id := uint64(c.n(0, int64(c.m.lastBatch)+1))
	total := uint64(0)
	if b := c.m.Batch(id); b != nil {
		total = b.Total
	}
	switch c.n(0, 7) {
	case 0:
		return openBatchCmd(c.batch())
	case 1, 2, 3:
		return stageCmd(&fsmpb.StageBatch{Batch: id, Offset: total - min(total, uint64(c.n(0, 8)/8)), Digest: uint64(c.n(0, 1)), Tasks: c.specs(4)})
	case 4, 5:
		return commitCmd(id, total, uint64(c.n(0, 1)))
	case 6:
		return submitBatchCmd(c.batch(), c.specs(3)...)
	default:
		return cancelBatchCmd(id, c.pick("", "x"))
	}
}

func (c *chance) open() *fsmpb.OpenSession {
	worker, boot := c.worker()
	o := &fsmpb.OpenSession{
		Worker: worker, Boot: boot, Slots: uint32(c.n(1, 4)), Takeover: c.one(3), Push: c.pick("", "", "a:1"),
		Labels: c.labels(),
		Queues: []*fsmpb.QueueWeight{{Queue: c.queue(), Weight: 1}, {Queue: c.queue(), Weight: uint32(c.n(0, 3))}},
	}
	for range c.n(0, 4) {
		_, _, _, fence := c.attempt()
		o.Held = append(o.Held, fence)
	}
	return o
}

// running draws what a process says that it runs; some say nothing.
func (c *chance) running() *fsmpb.PollHeld {
	if c.one(3) {
		return nil
	}
	held := &fsmpb.PollHeld{}
	for range c.n(0, 3) {
		_, _, _, fence := c.attempt()
		held.Fences = append(held.Fences, fence)
	}
	return held
}

// fire draws what a leader, or one that was deposed, would propose: mostly what
// the table waits for.
func (c *chance) fire() *fsmpb.FireItem {
	it := &fsmpb.FireItem{Schedule: c.pick("s1", "s2")}
	s := c.m.Schedule(it.Schedule)
	if s == nil {
		return it
	}
	it.SpecVersion, it.FireTime = s.Version, s.NextFire
	if c.one(8) {
		it.SpecVersion--
	}
	if c.one(8) {
		it.FireTime = c.m.now
	}
	it.NextFire = max(s.PlanFrom, s.NextFire) + c.n(-1, 40)*Second
	it.Skip = c.one(4)
	return it
}

func (c *chance) schedule() *fsmpb.Command {
	name := c.pick("s1", "s2")
	switch c.n(0, 9) {
	case 0:
		return pauseScheduleCmd(name, true)
	case 1, 2:
		return pauseScheduleCmd(name, false)
	case 3:
		return deleteScheduleCmd(name)
	case 4, 5:
		return triggerCmd(name)
	}
	return scheduleCmd(&fsmpb.SetSchedule{
		Schedule: name, Task: c.spec(), Misfire: uint32(c.n(0, 2)), MaxMisfires: uint32(c.n(0, 3)), Overlap: uint32(c.n(0, 2)), Replace: c.one(2),
	})
}

// command draws one command of any kind.
func (c *chance) command() *fsmpb.Command {
	worker, boot, task, fence := c.attempt()
	who := worker + "/" + boot
	digest := uint64(c.n(0, 1))
	var cmd *fsmpb.Command
	switch c.n(0, 39) {
	case 0, 1, 2, 3:
		cmd = submitCmd(c.specs(3)...)
	case 4, 5, 6, 7, 8:
		return assignCmd(c.session(), uint32(c.n(0, 3)))
	case 9, 10, 11:
		done := &fsmpb.Completion{Task: task, Fence: fence, Digest: digest, Result: make([]byte, c.n(0, 3))}
		if c.one(5) {
			done.FollowUp = []*fsmpb.TaskSpec{{Kind: "completed", Queue: c.queue(), RequestId: "r2"}}
		}
		cmd = completeCmd(who, done)
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
		if c.one(3) {
			cmd = deleteCmd(c.id(), c.id())
		}
	case 17, 18:
		return openCmd(c.open())
	case 19:
		return updateCmd(&fsmpb.UpdateSession{
			Session: c.session(), Slots: uint32(c.n(0, 4)), Draining: c.one(5),
			PollSeq: uint64(c.n(0, 4)), PollMax: 2, PollHeld: c.running(), Beats: c.one(3), Queues: []*fsmpb.QueueWeight{{Queue: c.queue(), Weight: 1}, {Queue: c.queue(), Weight: uint32(c.n(1, 2))}},
			Labels: c.labels(),
		})
	case 20:
		return closeCmd(c.session())
	case 21, 22:
		return expireCmd(c.session())
	case 24, 25, 26, 27, 28, 29:
		cmd = c.batchCommand()
	case 30:
		cmd = retryDeadCmd(&fsmpb.RetryDead{Queue: c.pick("", "mail")})
	case 31, 32, 33:
		return fireCmd(c.fire(), c.fire())
	case 34:
		cmd = c.schedule()
	case 35:
		cmd = sweepCmd(&fsmpb.Sweep{What: c.filter(), Reason: c.pick("", "swept")})
	case 36:
		cmd = drainCmd(worker, c.one(2))
	case 37:
		cmd = removeCmd(worker, c.one(2))
	case 38:
		cmd = pushCmd(&fsmpb.SetPush{Addr: c.pick("a:1", "a:2"), Fixed: c.one(2), Remove: c.one(3)})
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
