// Package reason lists every reason that a master's error can carry in its
// google.rpc.ErrorInfo. The edge writes them, the SDKs and the command line
// read them; it imports nothing, so that a user's program links no Raft.
//
// A reason is stable: it is never renamed and never reused for something else.
// The gRPC code of each stands in its comment.
package reason

// Domain is the ErrorInfo domain of every reason.
const Domain = "taskraft.dev"

// The reasons.
const (
	// InvalidField: INVALID_ARGUMENT. A field breaks its rule; BadRequest names
	// each field and what it wants. Repeating the same request cannot help.
	InvalidField = "INVALID_FIELD"

	// NotLeader: FAILED_PRECONDITION. Nothing was applied; another master leads.
	// The metadata keys below say where.
	NotLeader = "NOT_LEADER"
	// NoLeader: UNAVAILABLE with RetryInfo. Nothing was applied; no leader is
	// known at the moment.
	NoLeader = "NO_LEADER"
	// OutcomeUnknown: ABORTED. The command may be applied, now or later; repeat
	// it with the same call number or request id.
	OutcomeUnknown = "OUTCOME_UNKNOWN"
	// Stopping: UNAVAILABLE with RetryInfo. This master is shutting down; nothing
	// was applied.
	Stopping = "STOPPING"
	// Internal: INTERNAL. A handler panicked; the id in the message is in the
	// master's log. The command may be applied.
	Internal = "INTERNAL"

	// Overloaded: RESOURCE_EXHAUSTED with RetryInfo. Too many proposals wait;
	// nothing was applied.
	Overloaded = "OVERLOADED"
	// DiskLow: RESOURCE_EXHAUSTED with RetryInfo. Free disk space is under the
	// watermark; new submits are refused, completions are accepted.
	DiskLow = "DISK_LOW"
	// MemoryLow: RESOURCE_EXHAUSTED with RetryInfo. Tasks fill the leader's memory; new
	// submits are refused, completions are accepted.
	MemoryLow = "MEMORY_LOW"

	// RequestIDConflict: ALREADY_EXISTS. The request id belongs to a task with
	// other content.
	RequestIDConflict = "REQUEST_ID_CONFLICT"
	// RequestIDsFull: RESOURCE_EXHAUSTED with RetryInfo. The cluster remembers as
	// many request ids as it can.
	RequestIDsFull = "REQUEST_IDS_FULL"
	// QueuesFull: RESOURCE_EXHAUSTED. The cluster has as many queues as it can.
	QueuesFull = "QUEUES_FULL"
	// QueueFull: RESOURCE_EXHAUSTED with RetryInfo. The queue holds as many tasks, or
	// bytes of payload, as it may; nothing of the batch was accepted.
	QueueFull = "QUEUE_FULL"
	// UniqueKeyTaken: ALREADY_EXISTS. The task cannot be retried while another one
	// with its unique key lives.
	UniqueKeyTaken = "UNIQUE_KEY_TAKEN"
	// TaskAwaited: FAILED_PRECONDITION. The task cannot be deleted before those that
	// wait for it have been told how it ended.
	TaskAwaited = "TASK_AWAITED"
	// BatchUnfinished: FAILED_PRECONDITION. A task of a batch can be deleted when
	// the whole batch has ended.
	BatchUnfinished = "BATCH_UNFINISHED"
	// SweepsFull: RESOURCE_EXHAUSTED. As many bulk cancellations are under way as may be.
	SweepsFull = "SWEEPS_FULL"
	// SweepNotFound: NOT_FOUND. There is no such bulk cancellation, or it ended long ago.
	SweepNotFound = "SWEEP_NOT_FOUND"
	// CallForgotten: FAILED_PRECONDITION. A repeated call whose first outcome is
	// no longer remembered: it may have been applied.
	CallForgotten = "CALL_FORGOTTEN"
	// TooManyCalls: RESOURCE_EXHAUSTED. The client has more unacknowledged calls
	// than the table remembers.
	TooManyCalls = "TOO_MANY_CALLS"

	// TaskNotFound: NOT_FOUND. No task ever had this id.
	TaskNotFound = "TASK_NOT_FOUND"
	// Forgotten: NOT_FOUND. The task existed and ended; its record is trimmed.
	Forgotten = "FORGOTTEN"
	// NotTerminal: FAILED_PRECONDITION. Only a task that has ended can be deleted,
	// and only a DEAD or CANCELLED one retried.
	NotTerminal = "NOT_TERMINAL"
	// NotBroadcast: FAILED_PRECONDITION. The task is not a broadcast.
	NotBroadcast = "NOT_BROADCAST"
	// QueueNotFound: NOT_FOUND. No task was ever submitted to this queue and
	// nothing was set on it.
	QueueNotFound = "QUEUE_NOT_FOUND"

	// ParentNotFound: NOT_FOUND. A task to wait for does not exist (any more): the
	// metadata has its id, and the place of the task that would wait for it.
	ParentNotFound = "PARENT_NOT_FOUND"
	// BatchNotFound: NOT_FOUND. No batch has this id, or it ended long ago.
	BatchNotFound = "BATCH_NOT_FOUND"
	// BatchTooLarge: RESOURCE_EXHAUSTED. A batch would have more tasks than one may.
	BatchTooLarge = "BATCH_TOO_LARGE"
	// BatchesFull: RESOURCE_EXHAUSTED with RetryInfo. As many batches as the cluster
	// keeps have not finished.
	BatchesFull = "BATCHES_FULL"
	// StagingFull: RESOURCE_EXHAUSTED with RetryInfo. Open batches hold as much as
	// they may.
	StagingFull = "STAGING_FULL"
	// RetriesFull: RESOURCE_EXHAUSTED with RetryInfo. As many bulk retries as the
	// cluster carries out at a time are under way.
	RetriesFull = "RETRIES_FULL"

	// ScheduleNotFound: NOT_FOUND. No schedule has this name.
	ScheduleNotFound = "SCHEDULE_NOT_FOUND"
	// ScheduleExists: ALREADY_EXISTS. A schedule of this name says something else.
	ScheduleExists = "SCHEDULE_EXISTS"
	// SchedulesFull: RESOURCE_EXHAUSTED. The cluster has as many schedules as it can.
	SchedulesFull = "SCHEDULES_FULL"
	// ScheduleBusy: FAILED_PRECONDITION. An earlier task of the schedule has not
	// ended, and its overlap policy is skip; the metadata has the task's id.
	ScheduleBusy = "SCHEDULE_BUSY"

	// MemberNotFound: NOT_FOUND. No member has this name, or no other voter that
	// leadership should go to.
	MemberNotFound = "MEMBER_NOT_FOUND"
	// NoSuccessor: FAILED_PRECONDITION. No other voter can take leadership
	// over at the moment; it stays where it is.
	NoSuccessor = "NO_SUCCESSOR"

	// MemberExists: ALREADY_EXISTS. The name or an address of the new master belongs
	// to a member, or the member that it should replace is alive.
	MemberExists = "MEMBER_EXISTS"
	// MemberUnreachable: FAILED_PRECONDITION. The leader does not reach the new
	// master at its Raft address: it would only cost the majority.
	MemberUnreachable = "MEMBER_UNREACHABLE"
	// MemberRefused: FAILED_PRECONDITION. The new master has data, belongs to another
	// cluster, or is too old for the table.
	MemberRefused = "MEMBER_REFUSED"
	// ChangeUnderWay: FAILED_PRECONDITION. The members are being changed already, or
	// an earlier new one has no vote yet: one change at a time.
	ChangeUnderWay = "CHANGE_UNDER_WAY"
	// QuorumAtRisk: FAILED_PRECONDITION. Without the member too few voters would
	// answer to go on.
	QuorumAtRisk = "QUORUM_AT_RISK"

	// LevelRefused: FAILED_PRECONDITION. The feature level stays where it is: a member is
	// too old for it or does not answer, or it would go down. Nothing was changed.
	LevelRefused = "LEVEL_REFUSED"

	// NotEmpty: FAILED_PRECONDITION. A backup is restored only into a cluster in which
	// nothing was ever submitted or set.
	NotEmpty = "NOT_EMPTY"
	// BadBackup: INVALID_ARGUMENT. What came is no backup, is damaged, or was written by
	// a newer version; nothing was changed.
	BadBackup = "BAD_BACKUP"

	// Compacted: OUT_OF_RANGE. This master does not keep the events behind that cursor
	// any more: the metadata has the oldest entry whose events it keeps. Another master
	// may have more; otherwise read the present state, and go on from its index.
	Compacted = "COMPACTED"

	// WorkerIDInUse: ALREADY_EXISTS. Another live process has this worker id.
	WorkerIDInUse = "WORKER_ID_IN_USE"
	// BootReplaced: FAILED_PRECONDITION. A newer process took this worker's place
	// for good, or an operator removed the worker.
	BootReplaced = "BOOT_REPLACED"
	// WorkerNotFound: NOT_FOUND. No worker with this id was seen in the last 24 h.
	WorkerNotFound = "WORKER_NOT_FOUND"
	// WorkerBusy: FAILED_PRECONDITION. The worker holds tasks: drain it first, or
	// remove it by force.
	WorkerBusy = "WORKER_BUSY"
	// PushesFull: RESOURCE_EXHAUSTED. The list of push workers is as long as it can be.
	PushesFull = "PUSHES_FULL"
	// NoSession: FAILED_PRECONDITION. The worker has no session here: attach, or
	// request a task, first.
	NoSession = "NO_SESSION"
	// StreamReplaced: ABORTED. A newer stream of the same worker process took
	// over.
	StreamReplaced = "STREAM_REPLACED"
	// SlowConsumer: RESOURCE_EXHAUSTED. The worker does not read its stream.
	SlowConsumer = "SLOW_CONSUMER"
)

// The reasons that only the HTTP side has; nothing was applied.
const (
	// MalformedRequest: 400. The body, a parameter or a header cannot be read; the
	// detail says where.
	MalformedRequest = "MALFORMED_REQUEST"
	// BodyTooLarge: 413.
	BodyTooLarge = "BODY_TOO_LARGE"
	// SlowRequest: 408. The body took too long to come.
	SlowRequest = "SLOW_REQUEST"
	// UnsupportedMedia: 415. Bodies are application/json, and not compressed.
	UnsupportedMedia = "UNSUPPORTED_MEDIA"
	// NoRoute: 404. Nothing has this path.
	NoRoute = "NO_ROUTE"
	// MethodNotAllowed: 405. The path exists, with other methods.
	MethodNotAllowed = "METHOD_NOT_ALLOWED"
	// WrongHost: 421. The Host is no name of this master.
	WrongHost = "WRONG_HOST"
	// CrossOrigin: 403. A browser's page of another origin asked.
	CrossOrigin = "CROSS_ORIGIN"
)

// MetaOldest is the metadata key of Compacted: an entry's index, decimal.
const MetaOldest = "oldest"

// The metadata keys of NotLeader.
const (
	MetaLeader     = "leader"      // name; absent or empty when unknown
	MetaLeaderGRPC = "leader_grpc" // host:port
	MetaLeaderHTTP = "leader_http" // host:port
	MetaTerm       = "term"        // decimal
	MetaMasters    = "masters"     // every master's gRPC address, comma separated
)
