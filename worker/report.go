package worker

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	maxError       = 4 << 10 // bytes kept of an error
	maxContentType = 128     // bytes
	maxStack       = 2 << 10 // bytes of a panic's stack

	maxFollowUps     = 100
	maxFollowUpBytes = 128 << 10

	// A pause that a handler asks for: the masters refuse others.
	minWait = time.Millisecond
	maxWait = 364 * 24 * time.Hour
)

// report is what the worker says of one attempt. Exactly one of complete, fail
// and release is set.
type report struct {
	complete *taskraftv1.Completion
	fail     *taskraftv1.Failure
	release  *taskraftv1.Handback
}

func (r *report) verb() Verb {
	switch {
	case r.complete != nil:
		return VerbComplete
	case r.fail != nil:
		return VerbFail
	}
	return VerbRelease
}

// size is about how many bytes the report takes in a message.
func (r *report) size() int {
	const fixed = 32
	follow := 0
	for _, spec := range r.complete.GetFollowUp() {
		follow += proto.Size(spec)
	}
	return fixed + follow + len(r.complete.GetResult()) + len(r.fail.GetResult()) + len(r.fail.GetError())
}

// reportOf turns a handler's return into a report. why is the cause of a
// cancelled context.
func reportOf(t *Task, res Result, err, why error, maxResult int) report {
	if err == nil {
		if err = checkResult(res, maxResult); err == nil {
			return report{complete: &taskraftv1.Completion{Task: t.ID, Fence: t.Fence, Result: res.Data, ContentType: res.ContentType, FollowUp: res.FollowUp}}
		}
		res, err = Result{}, Permanent(err)
	}
	permanent := IsPermanent(err)
	if (why == ErrDraining || errors.Is(why, ErrLost)) && !permanent {
		return release(t) // it did not fail by itself
	}
	f := &taskraftv1.Failure{Task: t.ID, Fence: t.Fence, Error: trim(err.Error(), maxError)}
	if permanent {
		f.Permanent = true
	} else if s, ok := errors.AsType[snoozeError](err); ok {
		f.Snooze, f.RetryAfter = true, wait(s.d)
	} else if r, ok := errors.AsType[retryError](err); ok {
		f.RetryAfter = wait(r.after)
	}
	if checkResult(res, maxResult) == nil {
		f.Result, f.ContentType = res.Data, res.ContentType
	}
	return report{fail: f}
}

func wait(d time.Duration) *durationpb.Duration {
	return durationpb.New(min(max(d, minWait), maxWait))
}

func release(t *Task) report {
	return report{release: &taskraftv1.Handback{Task: t.ID, Fence: t.Fence}}
}

// checkResult finds what a master would refuse, which would end the stream.
func checkResult(res Result, maxResult int) error {
	if len(res.Data) > maxResult {
		return fmt.Errorf("result of %d bytes, want at most %d", len(res.Data), maxResult)
	}
	if len(res.ContentType) > maxContentType || !utf8.ValidString(res.ContentType) || strings.ContainsFunc(res.ContentType, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("content type %.64q of the result: want at most %d bytes of printable UTF-8", res.ContentType, maxContentType)
	}
	return checkFollowUp(res.FollowUp)
}

// checkFollowUp finds what a master would refuse in any case.
func checkFollowUp(specs []*taskraftv1.TaskSpec) error {
	size := 0
	for i, s := range specs {
		size += proto.Size(s)
		if s.GetRequestId() != "" || len(s.GetAfter())+len(s.GetAfterItems())+len(s.GetOnSuccess())+len(s.GetOnDead()) > 0 {
			return fmt.Errorf("follow-up %d has a request id, parents or follow-ups of its own", i)
		}
	}
	if len(specs) > maxFollowUps || size > maxFollowUpBytes {
		return fmt.Errorf("%d follow-ups of %d bytes, want at most %d and %d bytes", len(specs), size, maxFollowUps, maxFollowUpBytes)
	}
	return nil
}

// trim cuts s to at most n bytes of valid UTF-8.
func trim(s string, n int) string {
	s = strings.ToValidUTF8(s[:min(len(s), n)], "�")
	for len(s) > n {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// panicError is a handler's panic as a failure.
func panicError(p any) error {
	stack := string(debug.Stack())
	// The frames above the panic are this package's and the runtime's.
	if i := strings.Index(stack, "\npanic("); i >= 0 {
		stack = stack[i+1:]
	}
	return fmt.Errorf("panic: %v\n\n%s", p, trim(stack, maxStack))
}
