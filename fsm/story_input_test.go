package fsm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// options are the words of an input: k=v pairs, bare flags, and the rest.
type options struct {
	*story
	set  map[string]string
	rest []string
}

func (s *story) options(words []string) options {
	o := options{s, map[string]string{}, nil}
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok {
			o.set[k] = v
		} else {
			o.rest = append(o.rest, w)
		}
	}
	return o
}

func (o options) flag(name string) bool {
	return slices.Contains(o.rest, name)
}

func (o options) num(name string) uint64 { return o.number(cmp.Or(o.set[name], "0")) }

func (o options) dur(name string) int64 { return o.duration(cmp.Or(o.set[name], "0s")) }

// optDur and optNum return nil when the option is not there.
func (o options) optDur(name string) *int64 {
	if _, ok := o.set[name]; !ok {
		return nil
	}
	return new(o.dur(name))
}

func (o options) optNum(name string) *uint32 {
	if _, ok := o.set[name]; !ok {
		return nil
	}
	return new(uint32(o.num(name)))
}

func (o options) optPriority() *int32 {
	text, ok := o.set["priority"]
	if !ok {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		o.Fatal(err)
	}
	return new(int32(n))
}

// numbers reads "3,5".
func (o options) numbers(name string) (out []uint64) {
	if o.set[name] == "" {
		return nil
	}
	for text := range strings.SplitSeq(o.set[name], ",") {
		out = append(out, o.number(text))
	}
	return out
}

func (o options) queues() (out []*fsmpb.QueueWeight) {
	if o.set["queues"] == "" {
		return nil
	}
	for text := range strings.SplitSeq(o.set["queues"], ",") {
		name, weight, _ := strings.Cut(text, ":")
		out = append(out, &fsmpb.QueueWeight{Queue: name, Weight: uint32(o.number(cmp.Or(weight, "1")))})
	}
	return out
}

// session reads a worker's name as its session, also one that this entry opens,
// or a number.
func (s *story) session(word string) uint64 {
	if id, ok := s.opening[word]; ok {
		return id
	}
	if ses := s.m.SessionOf(word); ses != nil {
		return ses.ID
	}
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		return 1 << 40 // no such session
	}
	return n
}

// attempt reads "3#7": task 3, fence 7.
func (s *story) attempt(word string) (task, fence uint64) {
	a, b, ok := strings.Cut(word, "#")
	if !ok {
		s.Fatalf("want task#fence, got %s", word)
	}
	return s.number(a), s.number(b)
}

// command reads one command; "call=client/seq/acked_below[/repeat]" may stand in it.
func (s *story) command(words []string) *fsmpb.Command {
	o := s.options(words[1:])
	c := s.verb(words[0], o)
	if text, ok := o.set["call"]; ok {
		parts := strings.Split(text, "/")
		c.Call = &fsmpb.Call{
			Client: fmt.Appendf(nil, "%16s", parts[0]), Seq: s.number(parts[1]),
			AckedBelow: s.number(parts[2]), Repeat: len(parts) > 3,
		}
	}
	return c
}

func (s *story) verb(verb string, o options) *fsmpb.Command {
	switch verb {
	case "submit":
		if _, ok := o.set["batch"]; ok {
			return submitBatchCmd(o.batch(o.set["batch"]), o.specs()...)
		}
		return submitCmd(o.specs()...)
	case "openbatch":
		return openBatchCmd(o.batch(o.rest[0]))
	case "stage":
		return stageCmd(&fsmpb.StageBatch{Batch: s.number(o.rest[0]), Offset: o.num("offset"), Digest: o.num("digest"), Tasks: o.specs()})
	case "commit":
		return commitCmd(s.number(o.rest[0]), o.num("total"), o.num("digest"))
	case "cancelbatch":
		return cancelBatchCmd(s.number(o.rest[0]), o.set["reason"])
	case "retrydead":
		c := &fsmpb.RetryDead{Queue: o.set["queue"]}
		if kind, ok := o.set["kind"]; ok {
			c.Kind = &kind
		}
		return retryDeadCmd(c)
	case "assign":
		return assignCmd(s.session(o.rest[0]), uint32(s.number(o.rest[1])))
	case "complete":
		var items []*fsmpb.Completion
		for _, w := range o.rest[1:] {
			task, fence := s.attempt(w)
			items = append(items, &fsmpb.Completion{
				Task: task, Fence: fence, Digest: o.num("digest"), Result: []byte(o.set["result"]), FollowUp: o.kinds("follow_up"),
			})
		}
		return completeCmd(o.rest[0], items...)
	case "fail":
		task, fence := s.attempt(o.rest[1])
		return failCmd(o.rest[0], &fsmpb.Failure{
			Task: task, Fence: fence, Digest: o.num("digest"), Error: o.set["error"], Permanent: o.flag("permanent"),
			RetryAfter: o.dur("after"), Snooze: o.flag("snooze"), Result: []byte(o.set["result"]),
		})
	case "release":
		task, fence := s.attempt(o.rest[1])
		return releaseCmd(o.rest[0], &fsmpb.Handback{Task: task, Fence: fence})
	case "cancel":
		return cancelCmd(o.set["reason"], o.ids()...)
	case "retry":
		return retryCmd(o.ids()...)
	case "sweep":
		return sweepCmd(&fsmpb.Sweep{Reason: o.set["reason"], What: o.filter()})
	case "delete":
		return deleteCmd(o.ids()...)
	case "open":
		open := o.open()
		if ses := s.m.SessionOf(open.Worker); ses == nil || ses.Boot != open.Boot && open.Takeover {
			s.opening[open.Worker] = s.m.lastSession + uint64(len(s.opening)) + 1
		}
		return openCmd(open)
	case "update":
		up := &fsmpb.UpdateSession{
			Session: s.session(o.rest[0]), Queues: o.queues(), Slots: uint32(o.num("slots")), Draining: o.flag("draining"),
			PollSeq: o.num("poll"), PollMax: uint32(o.num("max")), Beats: o.flag("beats"), Labels: o.labels("labels"),
		}
		if _, ok := o.set["held"]; ok {
			up.PollHeld = &fsmpb.PollHeld{Fences: o.numbers("held")}
		}
		return updateCmd(up)
	case "close":
		return closeCmd(s.session(o.rest[0]))
	case "expire":
		return expireCmd(s.session(o.rest[0]))
	case "tick":
		if _, ok := o.set["spare"]; ok {
			return spareCmd(epochStart + o.dur("spare"))
		}
		return tickCmd()
	case "queue":
		return queueCmd(o.queue())
	case "schedule":
		return scheduleCmd(o.schedule())
	case "pause":
		return pauseScheduleCmd(o.rest[0], true)
	case "resume":
		return pauseScheduleCmd(o.rest[0], false)
	case "unschedule":
		return deleteScheduleCmd(o.rest[0])
	case "trigger":
		return triggerCmd(o.rest[0])
	case "fire":
		return fireCmd(o.fire())
	case "member":
		return memberCmd(&fsmpb.SetMember{Name: o.rest[0], ServerId: o.set["id"], Level: uint32(o.num("level"))})
	case "remove-member":
		return removeMemberCmd(o.rest[0], o.rest[1])
	case "drain":
		return drainCmd(o.rest[0], o.flag("undo"))
	case "push":
		return pushCmd(&fsmpb.SetPush{Addr: o.rest[0], Fixed: o.flag("fixed"), Remove: o.flag("off")})
	case "remove":
		return removeCmd(o.rest[0], o.flag("force"))
	case "finalize":
		return finalizeCmd(uint32(o.num("level")))
	}
	s.Fatalf("no such input: %s", verb)
	return nil
}

func (o options) ids() (ids []uint64) {
	for _, w := range o.rest {
		ids = append(ids, o.number(w))
	}
	return ids
}

func (o options) open() *fsmpb.OpenSession {
	worker, boot := splitWorker(o.rest[0])
	return &fsmpb.OpenSession{
		Worker: worker, Boot: boot, Queues: o.queues(), Slots: uint32(o.num("slots")),
		Labels: o.labels("labels"), Held: o.numbers("held"), Takeover: o.flag("takeover"), Pull: o.flag("pull"), Push: o.set["push"],
	}
}

func (o options) queue() *fsmpb.SetQueue {
	q := &fsmpb.SetQueue{Queue: o.rest[0]}
	if o.flag("pause") || o.flag("resume") {
		q.Paused = new(o.flag("pause"))
	}
	d := &fsmpb.QueueSettings{
		Priority: o.optPriority(), Timeout: o.optDur("timeout"), MaxAttempts: o.optNum("attempts"), Retain: o.optDur("retain"),
		MaxRunning: o.optNum("running"), MaxRunningPerKey: o.optNum("per_key"), Ageing: o.optDur("ageing"),
	}
	if _, ok := o.set["retain_count"]; ok {
		d.RetainCount = new(o.num("retain_count"))
	}
	if _, ok := o.set["retain_bytes"]; ok {
		d.RetainBytes = new(o.num("retain_bytes"))
	}
	if s, ok := o.set["self_fence"]; ok {
		d.SelfFence = new(s == "true")
	}
	if _, ok := o.set["max_tasks"]; ok {
		d.MaxTasks = new(o.num("max_tasks"))
	}
	if _, ok := o.set["max_bytes"]; ok {
		d.MaxBytes = new(o.num("max_bytes"))
	}
	if text, ok := o.set["rate"]; ok { // tokens/period/burst
		parts := strings.Split(text, "/")
		d.Rate = &fsmpb.RateLimit{Tokens: uint32(o.number(parts[0])), Period: o.duration(parts[1]), Burst: uint32(o.number(parts[2]))}
	}
	if proto.Size(d) > 0 {
		q.Settings = d
	}
	fields := d.ProtoReflect().Descriptor().Fields()
	for name := range strings.FieldsFuncSeq(o.set["unset"], func(r rune) bool { return r == ',' }) {
		q.Unset = append(q.Unset, uint32(fields.ByName(protoreflect.Name(name)).Number()))
	}
	return q
}

// labels reads "gpu:1,zone:b".
func (o options) labels(name string) map[string]string {
	labels := make(map[string]string)
	for pair := range strings.FieldsFuncSeq(o.set[name], func(r rune) bool { return r == ',' }) {
		key, value, _ := strings.Cut(pair, ":")
		labels[key] = value
	}
	return labels
}

// filter reads what a sweep is about, as in "queue=mail state=READY,RUNNING".
func (o options) filter() *fsmpb.TaskFilter {
	f := &fsmpb.TaskFilter{
		Queue: o.set["queue"], Kind: o.set["kind"], Labels: o.pairs("labels"), Batch: o.num("batch"), Worker: o.set["worker"],
		First: o.num("first"), Last: o.num("last"),
	}
	for name := range strings.FieldsFuncSeq(o.set["state"], func(r rune) bool { return r == ',' }) {
		f.States = append(f.States, uint32(slices.Index(stateNames[:], name)))
	}
	return f
}

// pairs reads labels in the order of their names.
func (o options) pairs(name string) (out []*fsmpb.Label) {
	labels := o.labels(name)
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, &fsmpb.Label{Key: key, Value: labels[key]})
	}
	return out
}

func (o options) schedule() *fsmpb.SetSchedule {
	misfire := map[string]Misfire{"": MisfireLast, "last": MisfireLast, "skip": MisfireSkip, "all": MisfireAll}
	overlap := map[string]Overlap{"": OverlapAllow, "allow": OverlapAllow, "skip": OverlapSkip, "cancel_old": OverlapCancelOld}
	return &fsmpb.SetSchedule{
		Schedule: o.rest[0], Cron: o.set["cron"], TimeZone: o.set["zone"], Task: o.specs()[0], Misfire: uint32(misfire[o.set["misfire"]]),
		MaxMisfires: uint32(o.num("max")), Overlap: uint32(overlap[o.set["overlap"]]), Replace: o.flag("replace"), Paused: o.flag("paused"),
	}
}

// fire reads "fire NAME at=1m next=2m": times count from the beginning, an absent
// one is 0, and the version is the table's unless given.
func (o options) fire() *fsmpb.FireItem {
	it := &fsmpb.FireItem{Schedule: o.rest[0], SpecVersion: o.num("version"), Skip: o.flag("skip")}
	if s := o.m.Schedule(o.rest[0]); s != nil && it.SpecVersion == 0 {
		it.SpecVersion = s.Version
	}
	if at, ok := o.set["at"]; ok {
		it.FireTime = epochStart + o.duration(at)
	}
	if at, ok := o.set["next"]; ok {
		it.NextFire = epochStart + o.duration(at)
	}
	return it
}

// specs reads a task's options; "n=5" submits five of them, "requests=a,b" one per
// id, and with "links=1>0,2>1" item 1 waits for item 0 and item 2 for item 1.
func (o options) specs() []*fsmpb.TaskSpec {
	spec := &fsmpb.TaskSpec{
		Queue: o.set["queue"], Kind: o.set["kind"], Payload: []byte(o.set["payload"]), Priority: o.optPriority(),
		Delay: o.dur("delay"), Timeout: o.optDur("timeout"), MaxAttempts: o.optNum("attempts"),
		BackoffBase: o.optDur("backoff"), BackoffMax: o.optDur("backoff_max"), ExpiresIn: o.dur("expires_in"),
		RequestId: o.set["request"], ContentDigest: o.num("content"), Retain: o.optDur("retain"),
		After: o.numbers("after"), AfterRun: o.flag("run"), OnSuccess: o.kinds("on_success"), OnDead: o.kinds("on_dead"),
		Require: o.pairs("require"), Labels: o.pairs("labels"), ConcurrencyKey: o.set["key"], UniqueKey: o.set["unique"], UniqueUntilStart: o.flag("until_start"),
		Traceparent: []byte(o.set["trace"]), Tracestate: o.set["tracestate"],
	}
	if _, ok := o.set["broadcast"]; ok {
		spec.Broadcast = &fsmpb.BroadcastSpec{
			Selector: o.pairs("broadcast"), Require: uint32(o.num("required")), Patience: o.dur("patience"), Late: o.flag("late"),
		}
	}
	if at, ok := o.set["run_at"]; ok {
		spec.RunAt = epochStart + o.duration(at)
	}
	var specs []*fsmpb.TaskSpec
	for range max(o.num("n"), 1) {
		specs = append(specs, proto.CloneOf(spec))
	}
	for i, id := range strings.FieldsFunc(o.set["requests"], func(r rune) bool { return r == ',' }) {
		if i > 0 {
			specs = append(specs, proto.CloneOf(spec))
		}
		specs[i].RequestId = id
	}
	for _, link := range strings.FieldsFunc(o.set["links"], func(r rune) bool { return r == ',' }) {
		child, parent, _ := strings.Cut(link, ">")
		i := o.number(child)
		specs[i].AfterItems = append(specs[i].AfterItems, uint32(o.number(parent)))
	}
	return specs
}

// batch reads what a batch is named and followed by.
func (o options) batch(name string) *fsmpb.BatchSpec {
	return &fsmpb.BatchSpec{
		Name: name, RequestId: o.set["batch_request"], ContentDigest: o.num("digest"), FollowUp: o.kinds("follow_up"), OnSuccess: o.kinds("all_success"),
	}
}

// kinds reads "mail,sum": a task of each kind.
func (o options) kinds(name string) (specs []*fsmpb.TaskSpec) {
	for _, kind := range strings.FieldsFunc(o.set[name], func(r rune) bool { return r == ',' }) {
		specs = append(specs, &fsmpb.TaskSpec{Kind: kind})
	}
	return specs
}
