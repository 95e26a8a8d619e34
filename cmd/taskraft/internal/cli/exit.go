package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
)

// The exit codes.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2 // usage or configuration
	exitDead        = 3 // the task is DEAD
	exitCancelled   = 4 // the task is CANCELLED
	exitNotFound    = 5
	exitConflict    = 6 // conflict or precondition
	exitNoLeader    = 7 // no leader, or nothing reachable
	exitDeadline    = 8
	exitData        = 10 // data directory, disk, corruption
	exitBind        = 12 // bind, permission, limit of the system
	exitIdentity    = 13 // cluster identity or version
	exitInterrupted = 130
)

// failure is an error with its exit code and the next command to try.
type failure struct {
	code int
	err  error
	try  string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(code int, try, format string, args ...any) error {
	return &failure{code: code, err: fmt.Errorf(format, args...), try: try}
}

// quietly ends a command with a code when everything was already said.
type quietly int

func (q quietly) Error() string { return fmt.Sprintf("exit code %d", int(q)) }

// usageError is everything wrong with how a command was called.
type usageError struct{ problems []settings.Problem }

func (u *usageError) Error() string {
	lines := make([]string, len(u.problems))
	for i, p := range u.problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func usage(problem, do string) error {
	return &usageError{[]settings.Problem{{Where: "arguments", Problem: problem, Do: do}}}
}

// report tells the user about err, if there is something left to tell, and
// returns the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	if q, ok := errors.AsType[quietly](err); ok {
		return int(q)
	}
	if u, ok := errors.AsType[*usageError](err); ok {
		for _, p := range u.problems {
			fmt.Fprintln(w, "taskraft: "+p.String())
		}
		return exitUsage
	}
	f := classify(err)
	fmt.Fprintln(w, "taskraft: "+f.err.Error())
	if f.try != "" {
		fmt.Fprintln(w, "  try: "+f.try)
	}
	return f.code
}

// classify finds the exit code and the next command for any error.
func classify(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if f, ok := errors.AsType[*cluster.Fault](err); ok {
		return &failure{code: faultCode(f.Kind), err: err}
	}
	if f := clientFailure(err); f != nil {
		return f
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{code: exitDeadline, err: err, try: "the same with a longer --call-timeout"}
	case errors.Is(err, context.Canceled):
		return &failure{code: exitInterrupted, err: errors.New("interrupted")}
	}
	return &failure{code: exitError, err: err}
}

func faultCode(k cluster.FaultKind) int {
	switch k {
	case cluster.FaultConfig:
		return exitUsage
	case cluster.FaultDisk:
		return exitData
	case cluster.FaultBind:
		return exitBind
	case cluster.FaultIdentity:
		return exitIdentity
	case cluster.FaultNoLeader:
		return exitNoLeader
	}
	return exitError
}
