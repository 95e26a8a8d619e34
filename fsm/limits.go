package fsm

// Units of the table's clock: durations are nanoseconds, as everywhere in the log.
const (
	Millisecond = 1_000_000
	Second      = 1000 * Millisecond
	Minute      = 60 * Second
	Hour        = 60 * Minute
)

// Limits of the table. They are part of the state machine: every master has the
// same, whatever its configuration. Durations are nanoseconds, sizes bytes.
const (
	MaxEntry          = 4 << 20 // one encoded entry
	MaxPayload        = 1 << 20
	MaxResult         = 1 << 20
	MaxBatch          = 1000 // tasks in one atomic submit
	MaxTransitions    = 4096 // per applied entry; larger work goes on in ticks
	MaxQueues         = 10_000
	MaxSlots          = 4096 // per session
	MaxRequestIDs     = 2_000_000
	MaxPushes         = 10_000 // addresses at which workers serve
	MaxCallsPerClient = 1024
	KeepEnded         = 16
	KeepSuperseded    = 4
	MaxSuperseded     = 4 << 10 // bytes kept of a superseded result
	MaxError          = 4 << 10 // bytes kept of an error
	MaxRetiredBoots   = 1024    // per worker
	MaxSchedules      = 10_000
	MaxMisfires       = 1000 // that a schedule catches up

	MaxBatches     = 100_000   // the oldest finished one makes room
	MaxStagedTasks = 100_000   // in one batch
	MaxStagedBytes = 256 << 20 // in all batches whose tasks have no records yet
	MaxParents     = 10_000    // per task
	MaxFollowUps   = 100       // in one completion, or with the end of one task or batch
	MaxDeadRetries = 64        // bulk retries under way
	MaxSweeps      = 16        // bulk cancellations under way
	KeepSweeps     = 64        // of those that are done

	SoloAfterCrashes = 2 // from then on a task runs alone in its session
	PoisonCrashes    = 3 // crashes while alone that make it Dead

	StopGrace       = 10 * Second
	KeepRequestID   = 24 * Hour
	KeepClient      = Hour
	KeepWorker      = 24 * Hour
	KeepBatch       = 24 * Hour   // from its end
	KeepStaging     = 10 * Minute // an open batch, from its last chunk
	SessionTTL      = 10 * Second
	PullSessionSlop = 10 * Second
	MisfireAfter    = 30 * Second // a fire time that is later than this is a misfire

	MaxAgeing = 365 * 24 * Hour // for one step of priority
	maxWorth  = 100             // steps of priority, up and down, that ageing weighs
)

// Defaults of a task's options where neither the submitter nor the queue says.
const (
	DefaultQueue       = "default"
	DefaultTimeout     = 5 * Minute
	DefaultMaxAttempts = 3
	DefaultBackoffBase = Second
	DefaultBackoffMax  = 10 * Minute
	DefaultRetain      = 24 * Hour
	DefaultPatience    = 10 * Minute
	DefaultRetainCount = 100_000
	DefaultRetainBytes = 64 << 20

	DefaultRunningPerKey = 1
)
