package cluster

import (
	"context"
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Propose orders one command and waits for its result. Errors: *NotLeaderError
// (not applied), ErrUncertain (may be applied), ErrOverloaded, ErrDiskLow (not
// applied). Refusals of the state machine are in the Result.
func (n *Node) Propose(ctx context.Context, cmd *fsmpb.Command) (fsm.Result, Position, error) {
	return n.engine.propose(ctx, cmd)
}

// Level is how fresh a read must be.
type Level uint8

// The levels of a read.
const (
	Linearizable Level = iota
	Stale
)

// ReadOptions choose level and minimum index of a read.
type ReadOptions struct {
	Level    Level
	MinIndex uint64
}

// Read calls f with the table under the read lock once the level is met. f must
// be quick and must not keep the machine; frozen records may be kept.
func (n *Node) Read(ctx context.Context, o ReadOptions, f func(*fsm.Machine)) (Position, error) {
	p, err := n.engine.read(ctx, o, f)
	if err == nil && o.Level == Stale {
		p.Age = n.Position().Age
	}
	return p, err
}

// WaitTask returns the task once it is terminal, or as it is after wait. It is
// nil when there is none; known is as in fsm.Machine.Task. Errors: *NotLeaderError,
// and ctx's.
func (n *Node) WaitTask(ctx context.Context, id uint64, wait time.Duration) (t *fsm.Task, known bool, p Position, err error) {
	return n.engine.waitTask(ctx, id, wait)
}

// WatchTasks returns a Watch of no task yet, once a majority has confirmed that
// this node leads. Errors: *NotLeaderError, and ctx's.
func (n *Node) WatchTasks(ctx context.Context) (*Watch, error) { return n.engine.watch(ctx) }

// WaitBatch returns a batch once all its tasks have ended, or as it is after wait;
// nil when there is none. Errors: *NotLeaderError, and ctx's.
func (n *Node) WaitBatch(ctx context.Context, id uint64, wait time.Duration) (*fsm.Batch, Position, error) {
	return n.engine.waitBatch(ctx, id, wait)
}

// Follow returns a Follow of one task, once a majority has confirmed that this node
// leads. Errors: *NotLeaderError, and ctx's.
func (n *Node) Follow(ctx context.Context, id uint64, from FollowFrom) (*Follow, error) {
	return n.engine.follow(ctx, id, from)
}

// Hear takes in what a worker says of its attempts before they end; it keeps the
// slices and what is in them. Error: *NotLeaderError.
func (n *Node) Hear(worker string, progress []*Progress, output []Output) error {
	return n.engine.hear(worker, progress, output)
}

// Progress returns what the present attempt of a task said last; nil when it said
// nothing, or when this node does not lead.
func (n *Node) Progress(t *fsm.Task) *Progress { return n.engine.progress(t) }

// Now is the table's clock as this node tells it while it leads, Unix nanoseconds:
// deadlines of tasks are compared with it.
func (n *Node) Now() int64 { return n.engine.clock.now() }

// Hello is what a worker process says of itself when it attaches or polls.
type Hello struct {
	Worker, Boot string
	Queues       []fsm.QueueWeight
	Labels       map[string]string
	Slots        int
	TTL          time.Duration // 0: the node's default
	Held         []uint64
	ExitWhenDone bool
	Push         string // the address at which it was found; empty: it called
	Host         string
	PID          uint32
	Version      string
}

// Attach opens the worker's session or takes it up again and registers its
// stream. Errors: as Propose, and *RefusedError (WORKER_ID_IN_USE, BootReplaced).
func (n *Node) Attach(ctx context.Context, h Hello) (*Stream, error) {
	return n.engine.attach(ctx, h)
}

// Attached is the first thing to tell the worker.
type Attached struct {
	Session        uint64
	TTL            time.Duration
	HeartbeatEvery time.Duration
}

// TaskOutcome answers one Complete, Fail or Release.
type TaskOutcome struct {
	Task, Fence uint64
	Outcome     fsm.Outcome
}

// Abort asks the worker to stop an execution whose fence is void.
type Abort struct {
	Task, Fence uint64
	Cause       fsm.Cause
}

// Batch is whatever is ready for the worker.
type Batch struct {
	Assignments  []*fsm.Task // frozen; Fence and Deadline are the attempt's
	Outcomes     []TaskOutcome
	Aborts       []Abort
	HeartbeatSeq uint64 // answered heartbeat, 0: none
	AttachAgain  bool
	NoMoreTasks  bool
	Moved        *Leader // leadership moved: the last batch
}

// Poll is a unary request for tasks. Its Hello lists the attempts that the process
// runs; what the session runs beyond them is answered at once.
type Poll struct {
	Hello
	Seq  uint64 // the same seq returns the same tasks
	Max  int
	Wait time.Duration // ≤ 60 s

	Batch uint64 // NoMoreTasks when it has finished; 0: when the queues have nothing left
}

// PollResult is its answer.
type PollResult struct {
	Tasks       []*fsm.Task
	NoMoreTasks bool
	TTL         time.Duration
}

// Poll opens the session when needed and waits for tasks. One poll per session
// is outstanding at a time: a newer one ends the older.
func (n *Node) Poll(ctx context.Context, p Poll) (PollResult, Position, error) {
	return n.engine.poll(ctx, p)
}

// Beat is a unary heartbeat: it returns which of the held fences are void.
func (n *Node) Beat(ctx context.Context, worker, boot string, held []uint64) (aborts []Abort, ttl time.Duration, err error) {
	return n.engine.beat(worker, boot, held)
}
