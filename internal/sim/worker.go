package sim

import (
	"fmt"
	"slices"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// worker is a name under which one process after another runs.
type worker struct {
	w       *world
	name    string
	queues  []string
	weights []uint32
	labels  map[string]string
	slots   int
	pull    bool

	boots   int
	alive   bool
	frozen  int64  // until then it does nothing
	session uint64 // as far as it knows
	pollSeq uint64
	jobs    []*job // what it has and whose outcome it has not seen, by arrival
	past    []*job // what it has done with, for those who say things twice
}

// job is one attempt at its worker.
type job struct {
	task, fence uint64
	boot        string
	verb        string
	digest      uint64
	done        bool // its end waits to be heard
}

func newWorker(w *world, name string) *worker {
	one := &worker{w: w, name: name, queues: []string{"a", "b"}, labels: map[string]string{}, slots: 1 + w.rng.IntN(4)}
	if w.chance(0.3) {
		one.queues = one.queues[:1]
	}
	one.weights = []uint32{1, 1}
	if w.cfg.weights && w.chance(0.8) {
		one.weights = []uint32{1 + w.rng.Uint32N(5), 1 + w.rng.Uint32N(5)}
	}
	if w.cfg.labels && w.chance(0.5) {
		one.labels["gpu"] = "a100"
	}
	if w.cfg.broadcasts {
		one.labels["role"] = roles[w.rng.IntN(2)]
	}
	one.pull = w.chance(w.cfg.pulls)
	return one
}

func (o *worker) boot() string { return fmt.Sprintf("%s-%d", o.name, o.boots) }

// act runs do in the process of a boot: not when that has died, later when it is frozen.
func (o *worker) act(boot string, do func()) {
	switch {
	case !o.alive || o.boot() != boot:
	case o.w.now < o.frozen:
		o.w.after(o.frozen-o.w.now+o.w.rng.Int64N(10*millisecond), func() { o.act(boot, do) })
	default:
		do()
	}
}

func (o *worker) in(d int64, do func()) {
	boot := o.boot()
	o.w.after(d, func() { o.act(boot, do) })
}

// start begins the next process of the worker.
func (o *worker) start() {
	if o.alive {
		return
	}
	o.boots++
	o.alive, o.frozen, o.session, o.jobs, o.pollSeq = true, 0, 0, nil, 0
	o.attach()
	o.beat()
	if o.pull {
		o.poll()
	}
}

// crash ends the process; another one comes, sooner or later.
func (o *worker) crash() {
	if !o.alive {
		return
	}
	o.w.cover["worker died"]++
	o.past = append(o.past, o.jobs...)
	o.alive = false
	d := o.w.rng.Int64N(15 * second)
	if o.w.chance(0.3) {
		d = o.w.rng.Int64N(second)
	}
	o.w.after(d, o.start)
}

func (o *worker) freeze() {
	if !o.alive {
		return
	}
	o.w.cover["worker frozen"]++
	o.frozen = o.w.now + o.w.rng.Int64N(30*second)
}

// attach opens the session, with what the process has.
func (o *worker) attach() {
	held := o.fences()
	if o.w.chance(0.05) {
		held = append(held, o.w.rng.Uint64N(50)) // one that it does not have
	}
	open := &fsmpb.OpenSession{
		Worker: o.name, Boot: o.boot(), Labels: o.labels, Slots: uint32(o.slots), Ttl: sessionTTL, Held: held,
		Pull: o.pull, Takeover: o.silent(),
	}
	for i, q := range o.queues {
		open.Queues = append(open.Queues, &fsmpb.QueueWeight{Queue: q, Weight: o.weights[i]})
	}
	boot := o.boot()
	o.ask(&fsmpb.Command{Kind: &fsmpb.Command_OpenSession{OpenSession: open}}, boot, func(r fsm.Result) { o.attached(r) })
	o.in(2*second+o.w.rng.Int64N(second), func() {
		if o.session == 0 {
			o.attach()
		}
	})
}

// fences lists what the process has.
func (o *worker) fences() (held []uint64) {
	for _, j := range o.jobs {
		held = append(held, j.fence)
	}
	return held
}

// silent reports whether the leader believes that an older process of the worker
// is gone; at times it is wrong.
func (o *worker) silent() bool {
	s := o.w.table.SessionOf(o.name)
	return s == nil || o.w.now-o.w.lead.beats[s.ID] > 2*beatEvery || o.w.chance(0.3)
}

func (o *worker) attached(r fsm.Result) {
	switch r.Outcome {
	case fsm.BootReplaced:
		o.crash()
	case fsm.Accepted:
		o.session = r.Session.ID
		o.w.lead.beats[o.session] = o.w.now
		for _, fence := range r.Aborts {
			o.forget(fence)
		}
		o.receive(o.boot(), r.Tasks)
	}
}

// ask sends a command and takes the answer, if both arrive.
func (o *worker) ask(c *fsmpb.Command, boot string, answered func(fsm.Result)) {
	c.Principal = "worker:" + o.name
	o.w.send(func() {
		o.w.propose(c, func(r fsm.Result) {
			o.w.send(func() { o.act(boot, func() { answered(r) }) })
		})
	})
}

// beat sends a heartbeat; without a session it attaches again, and at times for
// no reason, as when a stream breaks.
func (o *worker) beat() {
	session := o.session
	o.w.send(func() {
		s := o.w.table.Session(session)
		if o.w.lead.up && s != nil && s.Worker == o.name {
			o.w.lead.beats[session] = o.w.now
			return
		}
		o.w.send(func() {
			o.in(0, func() {
				if o.session == session {
					o.session = 0
					o.attach()
				}
			})
		})
	})
	if o.session != 0 && o.w.chance(0.05) {
		o.attach()
	}
	o.in(beatEvery, o.beat)
}

// poll asks for tasks, again under the same number when no answer came.
func (o *worker) poll() {
	if o.session != 0 {
		if !o.w.chance(0.3) {
			o.pollSeq++
		}
		c := &fsmpb.Command{Kind: &fsmpb.Command_UpdateSession{UpdateSession: &fsmpb.UpdateSession{
			Session: o.session, PollSeq: max(o.pollSeq, 1), PollMax: uint32(1 + o.w.rng.IntN(o.slots)), Beats: true,
			PollHeld: &fsmpb.PollHeld{Fences: o.fences()},
		}}}
		boot := o.boot()
		o.ask(c, boot, func(r fsm.Result) {
			if r.Outcome == fsm.NoSession {
				o.session = 0
				o.attach()
			}
			o.receive(boot, r.Tasks)
		})
	}
	o.in(200*millisecond+o.w.rng.Int64N(second), o.poll)
}

// receive takes assignments of this process that it does not know yet.
func (o *worker) receive(boot string, tasks []*fsm.Task) {
	o.act(boot, func() {
		for _, t := range tasks {
			if t.Attempt == nil || t.Boot != boot || o.knows(t.Fence) {
				continue
			}
			j := &job{task: t.ID, fence: t.Fence, boot: boot, verb: "complete", digest: o.w.rng.Uint64()}
			switch p := o.w.rng.Float64(); {
			case p < 0.1:
				j.verb = "fail"
			case p < 0.15:
				j.verb = "release"
			case p < 0.18:
				j.verb = "snooze"
			case p < 0.2:
				j.verb = "permanent"
			}
			if j.verb == "release" {
				j.digest = 0
			}
			o.jobs = append(o.jobs, j)
			if t.ID%97 == 5 && !o.w.calm { // it kills whoever runs it
				o.in(o.w.rng.Int64N(100*millisecond), o.crash)
				continue
			}
			d := o.duration()
			if t.Extra != nil && t.Extra.Target != nil && o.w.chance(0.2) && !o.w.calm { // long enough for the worker to be gone
				d += o.w.rng.Int64N(15 * second)
			}
			o.in(d, func() { o.finish(j) })
		}
	})
}

// duration is how long an attempt works: mostly shorter than its timeout.
func (o *worker) duration() int64 {
	if o.w.chance(0.05) && !o.w.calm {
		return o.w.rng.Int64N(15 * second)
	}
	return o.w.rng.Int64N(300 * millisecond)
}

func (o *worker) knows(fence uint64) bool {
	return slices.ContainsFunc(o.jobs, func(j *job) bool { return j.fence == fence }) ||
		slices.ContainsFunc(o.past, func(j *job) bool { return j.fence == fence && j.boot == o.boot() })
}

// stop ends an attempt that is to stop; some do not listen.
func (o *worker) stop(fence uint64) {
	o.in(o.w.rng.Int64N(second), func() {
		for _, j := range o.jobs {
			if j.fence == fence && (o.w.calm || o.w.chance(0.8)) {
				j.verb = "fail"
				o.finish(j)
				return
			}
		}
	})
}

// finish says how an attempt ended until it hears an answer.
func (o *worker) finish(j *job) {
	if !slices.Contains(o.jobs, j) {
		return
	}
	j.done = true
	batch := []*job{j}
	for _, other := range o.jobs {
		if other != j && other.done && other.verb == j.verb && o.w.chance(0.5) {
			batch = append(batch, other)
		}
	}
	boot := o.boot()
	o.ask(o.report(batch, boot), boot, func(r fsm.Result) {
		for i := range r.Outcomes {
			o.forget(batch[i].fence)
		}
	})
	o.in(second+o.w.rng.Int64N(second), func() { o.finish(j) })
}

func (o *worker) forget(fence uint64) {
	o.jobs = slices.DeleteFunc(o.jobs, func(j *job) bool {
		if j.fence == fence {
			o.past = append(o.past, j)
		}
		return j.fence == fence
	})
}

func (o *worker) report(batch []*job, boot string) *fsmpb.Command {
	switch batch[0].verb {
	case "complete":
		c := &fsmpb.Complete{Worker: o.name, Boot: boot}
		for _, j := range batch {
			i := &fsmpb.Completion{Task: j.task, Fence: j.fence, Digest: j.digest, Result: fmt.Append(nil, j.digest)}
			if o.w.cfg.batches && j.digest%16 == 0 {
				i.FollowUp = []*fsmpb.TaskSpec{{Queue: o.queues[0], Kind: "k"}}
			}
			c.Items = append(c.Items, i)
		}
		return &fsmpb.Command{Kind: &fsmpb.Command_Complete{Complete: c}}
	case "release":
		c := &fsmpb.Release{Worker: o.name, Boot: boot}
		for _, j := range batch {
			c.Items = append(c.Items, &fsmpb.Handback{Task: j.task, Fence: j.fence})
		}
		return &fsmpb.Command{Kind: &fsmpb.Command_Release{Release: c}}
	}
	c := &fsmpb.Fail{Worker: o.name, Boot: boot}
	for _, j := range batch {
		f := &fsmpb.Failure{Task: j.task, Fence: j.fence, Digest: j.digest, Error: "no"}
		switch {
		case j.verb == "permanent":
			f.Permanent = true
		case j.verb == "snooze":
			f.Snooze, f.RetryAfter = true, int64(j.digest%uint64(2*second))
		case j.digest%4 == 0:
			f.RetryAfter = int64(j.digest % uint64(5*second))
		}
		c.Items = append(c.Items, f)
	}
	return &fsmpb.Command{Kind: &fsmpb.Command_Fail{Fail: c}}
}

// haunt says something again that was said before, perhaps as another process, by
// another verb or with another digest: nothing may come of it.
func (o *worker) haunt() {
	if len(o.past) == 0 {
		return
	}
	j := *o.past[o.w.rng.IntN(len(o.past))]
	if o.w.chance(0.3) {
		j.digest++
	}
	if o.w.chance(0.3) {
		j.verb = []string{"complete", "fail", "release"}[o.w.rng.IntN(3)]
	}
	if o.w.chance(0.1) {
		j.boot = o.boot()
	}
	if o.w.chance(0.1) {
		j.task = 1 + o.w.rng.Uint64N(100)
	}
	o.w.cover["said again"]++
	o.ask(o.report([]*job{&j}, j.boot), o.boot(), func(fsm.Result) {})
}

// leave says goodbye and starts anew.
func (o *worker) leave() {
	if !o.alive || o.session == 0 {
		return
	}
	c := &fsmpb.Command{Kind: &fsmpb.Command_CloseSession{CloseSession: &fsmpb.CloseSession{Session: o.session}}}
	if o.w.chance(0.5) {
		c = &fsmpb.Command{Kind: &fsmpb.Command_UpdateSession{UpdateSession: &fsmpb.UpdateSession{Session: o.session, Draining: true}}}
	}
	o.ask(c, o.boot(), func(fsm.Result) {})
	o.in(3*second, o.crash)
}
