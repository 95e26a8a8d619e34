package follow

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// ErrBehind is for calls to return when the answer is older than one seen
// before: another master may know more.
var ErrBehind = errors.New("the answer is older than one seen before")

// unsentError is the failure of a call that never reached a connection.
type unsentError struct{ error }

func (e *unsentError) Unwrap() error { return e.error }

// GaveUpError says that the context ended, or the Follower was closed, before a
// call got its answer.
type GaveUpError struct {
	Cause error // why the context ended
	Last  error // the last try's error, if there was one before
	// Maybe is true when a try may have taken effect.
	Maybe bool
	// NoLeader is true when the last try found no master that leads.
	NoLeader bool
}

func (e *GaveUpError) Error() string {
	if e.Last == nil {
		return e.Cause.Error()
	}
	return e.Cause.Error() + " (last try: " + e.Last.Error() + ")"
}

// Unwrap returns both errors.
func (e *GaveUpError) Unwrap() []error {
	if e.Last == nil {
		return []error{e.Cause}
	}
	return []error{e.Cause, e.Last}
}

// verdict is what an error says about a call.
type verdict struct {
	again    bool          // repeat it
	cut      bool          // its context ended, here or there
	maybe    bool          // it may have taken effect
	noLeader bool          // the master does not lead, or cannot be reached
	after    time.Duration // wait at least this long
	redirect *taskraftv1.LeaderInfo
}

// judge decides whether a failed try is repeated. All calls are safe to repeat;
// those are repeated that another try or another master can help.
func judge(err error) verdict {
	unsent := errors.As(err, new(*unsentError))
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return verdict{again: true, cut: true, maybe: !unsent, noLeader: unsent}
	}
	if errors.Is(err, ErrBehind) {
		return verdict{again: true}
	}
	st, ok := status.FromError(err)
	if !ok {
		return verdict{}
	}
	info, delay := details(st)
	switch info.GetReason() {
	case reason.NotLeader:
		return verdict{again: true, noLeader: true, redirect: redirect(info.GetMetadata())}
	case reason.NoLeader, reason.Stopping:
		return verdict{again: true, noLeader: true}
	case reason.OutcomeUnknown:
		return verdict{again: true, maybe: true}
	case reason.Overloaded:
		return verdict{again: true, after: delay}
	case "":
	default:
		return verdict{}
	}
	switch st.Code() {
	case codes.Unavailable:
		return verdict{again: true, maybe: !unsent, noLeader: true}
	case codes.Canceled, codes.DeadlineExceeded:
		return verdict{again: true, cut: true, maybe: !unsent, noLeader: unsent}
	}
	return verdict{}
}

// Maybe reports whether a try that failed with err may have taken effect.
func Maybe(err error) bool { return judge(err).maybe }

// Reason returns the reason of package reason that err carries, or "".
func Reason(err error) string {
	st, ok := status.FromError(err)
	if !ok {
		return ""
	}
	info, _ := details(st)
	return info.GetReason()
}

// details returns a status's ErrorInfo, if it is ours, and its RetryInfo.
func details(st *status.Status) (*errdetails.ErrorInfo, time.Duration) {
	var info *errdetails.ErrorInfo
	var delay time.Duration
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == reason.Domain {
				info = d
			}
		case *errdetails.RetryInfo:
			delay = d.GetRetryDelay().AsDuration()
		}
	}
	return info, delay
}

// redirect reads the metadata of NOT_LEADER.
func redirect(md map[string]string) *taskraftv1.LeaderInfo {
	term, _ := strconv.ParseUint(md[reason.MetaTerm], 10, 64)
	info := &taskraftv1.LeaderInfo{
		Name: md[reason.MetaLeader],
		Grpc: md[reason.MetaLeaderGRPC],
		Http: md[reason.MetaLeaderHTTP],
		Term: term,
	}
	if masters := md[reason.MetaMasters]; masters != "" {
		info.Masters = strings.Split(masters, ",")
	}
	return info
}
