package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// Handler executes one task. It should return soon after ctx ends;
// context.Cause(ctx) then says why. t must not be kept.
type Handler func(ctx context.Context, t *Task) (Result, error)

// Task is what a handler executes.
type Task struct {
	ID          uint64
	Fence       uint64 // unique to this execution and higher than any before
	Attempt     int    // from 1
	Worker      string // this worker's id
	Queue, Kind string
	Payload     []byte
	ContentType string
	Deadline    time.Time // when the attempt's time limit ends; zero: no limit
	SubmitTime  time.Time
	Schedule    string    // the schedule that submitted it, if one did
	FireTime    time.Time // the nominal time for which it did; zero when triggered
	Broadcast   uint64    // the task id of the broadcast that this is a target of; 0: of none
}

// Result is what a handler leaves: at most 64 KiB unless the masters allow more,
// and never more than 1 MiB. It is kept with failures too.
type Result struct {
	Data        []byte
	ContentType string

	// FollowUp is submitted in the very log entry that records the success, if it
	// counts: at most 100 tasks and 128 KiB, without request_id, parents and
	// follow-ups of their own. It is not submitted with a failure.
	FollowUp []*taskraftv1.TaskSpec
}

// Why a handler's context ends before its time, as context.Cause tells.
var (
	ErrTimedOut  = errors.New("the attempt timed out")
	ErrCancelled = errors.New("the task was cancelled")
	ErrLost      = errors.New("the task was taken from this worker")
	ErrDraining  = errors.New("the worker is stopping")

	// ErrSelfFenced is an ErrLost that the worker tells itself: it has heard of no
	// master for so long that the task may soon start elsewhere, and the task's queue
	// wants no two executions at once (self_fence).
	ErrSelfFenced = fmt.Errorf("%w: no master has answered for too long", ErrLost)
)

type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// Permanent says that trying again cannot help: the task is DEAD.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanentError{err}
}

// IsPermanent reports whether err, as a handler's error, makes its task DEAD.
func IsPermanent(err error) bool {
	_, ok := errors.AsType[permanentError](err)
	return ok
}

type retryError struct {
	error
	after time.Duration
}

func (e retryError) Unwrap() error { return e.error }

// RetryAfter is a failure after which the next attempt waits d instead of the
// task's back-off.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return retryError{err, d}
}

type snoozeError struct{ d time.Duration }

func (e snoozeError) Error() string { return "snoozed for " + e.d.String() }

// Snooze gives the task back until d has passed; no attempt is counted.
func Snooze(d time.Duration) error { return snoozeError{d} }
