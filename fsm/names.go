package fsm

// The words of the closed sets, as every log line, event and command prints them.
var (
	stateNames = [...]string{"", "SCHEDULED", "READY", "RUNNING", "STOPPING", "SUCCEEDED", "DEAD", "CANCELLED"}

	outcomeNames = [...]string{
		"NONE", "ACCEPTED", "DUPLICATE", "CONFLICT", "STALE_TIMED_OUT", "STALE_REASSIGNED",
		"ALREADY_TERMINAL", "TASK_CANCELLED", "FORGOTTEN", "UNKNOWN_TASK",
		"EXISTING", "REQUEST_ID_CONFLICT", "REQUEST_IDS_FULL", "QUEUES_FULL", "CALL_FORGOTTEN", "CALLS_FULL",
		"NO_SESSION", "WORKER_ID_IN_USE", "BOOT_REPLACED", "NOT_TERMINAL", "NO_QUEUE", "LEVEL_REFUSED",
		"NO_PARENT", "DEPENDENCY_CYCLE", "NO_BATCH", "BATCH_FULL", "BATCHES_FULL", "STAGING_FULL", "RETRIES_FULL",
		"NO_SCHEDULE", "SCHEDULE_EXISTS", "SCHEDULES_FULL", "SCHEDULE_BUSY", "FIRE_STALE", "FIRE_REFUSED",
		"QUEUE_FULL", "UNIQUE_KEY_TAKEN", "TASK_AWAITED", "BATCH_UNFINISHED", "SWEEPS_FULL", "NO_SWEEP",
		"NO_WORKER", "WORKER_BUSY", "PUSHES_FULL",
	}

	causeNames = [...]string{
		"", "completed", "failed", "snoozed", "released", "timed_out",
		"expired", "taken_over", "closed", "cancelled", "removed",
	}

	hindranceNames = [...]string{"", "paused", "concurrency", "rate"}

	eventNames = [...]string{
		"", "submitted", "assigned", "ready", "scheduled", "stopping", "finished", "void",
		"session_opened", "session_closed", "queue_changed", "member_changed", "trimmed", "queue_opened", "batch_finished",
		"schedule_changed",
		"worker_changed", "push_changed", "report_refused", "batch_accepted", "batch_cancelled", "sweep_started", "dead_retried", "level_raised",
	}
)

// String returns the state's name, as in "READY".
func (s State) String() string { return name(stateNames[:], int(s)) }

// String returns the outcome's name, as in "STALE_TIMED_OUT".
func (o Outcome) String() string { return name(outcomeNames[:], int(o)) }

// String returns the cause's name, as in "timed_out"; CauseNone is empty.
func (c Cause) String() string { return name(causeNames[:], int(c)) }

// String returns the event kind's name, as in "assigned".
func (k EventKind) String() string { return name(eventNames[:], int(k)) }

// String returns the hindrance's name, as in "rate"; NotHeld is empty.
func (h Hindrance) String() string { return name(hindranceNames[:], int(h)) }

func name(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return "unknown"
}
