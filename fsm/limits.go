package fsm

import "time"

// Limits of the table. They are part of the state machine: every master has the
// same, whatever its configuration.
const (
	MaxPayload        = 1 << 20
	MaxResult         = 1 << 20
	MaxBatch          = 1000 // tasks in one atomic submit
	MaxTransitions    = 4096 // per applied entry; larger work goes on in ticks
	MaxQueues         = 10_000
	MaxSlots          = 4096 // per session
	MaxRequestIDs     = 2_000_000
	MaxCallsPerClient = 1024
	KeepEnded         = 16
	KeepSuperseded    = 4
	MaxSuperseded     = 4 << 10 // bytes kept of a superseded result
	MaxError          = 4 << 10 // bytes kept of an error
	MaxRetiredBoots   = 1024    // per worker

	SoloAfterCrashes = 2 // from then on a task runs alone in its session
	PoisonCrashes    = 3 // crashes while alone that make it Dead

	StopGrace       = 10 * time.Second
	KeepRequestID   = 24 * time.Hour
	KeepClient      = time.Hour
	KeepWorker      = 24 * time.Hour
	SessionTTL      = 10 * time.Second
	PullSessionSlop = 10 * time.Second
)

// Defaults of a task's options where neither the submitter nor the queue says.
const (
	DefaultQueue       = "default"
	DefaultTimeout     = 5 * time.Minute
	DefaultMaxAttempts = 3
	DefaultBackoffBase = time.Second
	DefaultBackoffMax  = 10 * time.Minute
	DefaultRetain      = 24 * time.Hour
	DefaultRetainCount = 100_000
	DefaultRetainBytes = 64 << 20
)
