package client

import (
	"errors"
	"strconv"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

var (
	// ErrDead: the task is DEAD.
	ErrDead = errors.New("the task is DEAD")
	// ErrCancelled: the task is CANCELLED.
	ErrCancelled = errors.New("the task is CANCELLED")
)

// EndedError says that a task ended without success. errors.Is finds ErrDead or
// ErrCancelled in it.
type EndedError struct {
	Task *taskraftv1.Task // its record
}

func (e *EndedError) Error() string {
	text := "task " + strconv.FormatUint(e.Task.GetId(), 10) + " is " + e.Task.GetState().String()
	if why := e.Task.GetError(); why != "" {
		return text + ": " + why
	}
	if why := e.Task.GetReason(); why != "" {
		return text + ": " + why
	}
	return text
}

// Is makes errors.Is true for the error of the task's state.
func (e *EndedError) Is(target error) bool {
	switch e.Task.GetState() {
	case taskraftv1.TaskState_DEAD:
		return target == ErrDead
	case taskraftv1.TaskState_CANCELLED:
		return target == ErrCancelled
	}
	return false
}

// Success returns nil for a task that SUCCEEDED and an *EndedError for any other.
func Success(t *taskraftv1.Task) error {
	if t.GetState() == taskraftv1.TaskState_SUCCEEDED {
		return nil
	}
	return &EndedError{Task: t}
}
