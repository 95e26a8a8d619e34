package tracing

import "go.opentelemetry.io/otel/attribute"

// Scope names who makes the spans.
const Scope = "github.com/taskraft/taskraft"

// The spans.
const (
	SubmitSpan      = "taskraft.submit"  // client: a submit, until it is answered
	AcceptSpan      = "taskraft.accept"  // master: a submit, until its entry is committed
	FireSpan        = "taskraft.fire"    // master: a schedule submitted a task
	WaitSpan        = "taskraft.wait"    // master: until the task is assigned
	AttemptSpanName = "taskraft.attempt" // master: from the assignment to the end of the attempt
	RunSpan         = "taskraft.run"     // worker: the handler
)

// The attributes.
const (
	TaskKey     = attribute.Key("taskraft.task")
	TasksKey    = attribute.Key("taskraft.tasks") // how many, of a call with several
	QueueKey    = attribute.Key("taskraft.queue")
	KindKey     = attribute.Key("taskraft.kind")
	AttemptKey  = attribute.Key("taskraft.attempt")
	FenceKey    = attribute.Key("taskraft.fence")
	WorkerKey   = attribute.Key("taskraft.worker")
	CauseKey    = attribute.Key("taskraft.cause") // why the attempt ended
	StateKey    = attribute.Key("taskraft.state") // of the task, afterwards
	ScheduleKey = attribute.Key("taskraft.schedule")
	FireTimeKey = attribute.Key("taskraft.fire_time")
	FollowsKey  = attribute.Key("taskraft.follows")
	BatchKey    = attribute.Key("taskraft.batch")
	ReportKey   = attribute.Key("taskraft.report") // complete, fail or release
)

// Number is an id as an attribute, which knows signed numbers only.
func Number(k attribute.Key, n uint64) attribute.KeyValue { return k.Int64(int64(n)) }
