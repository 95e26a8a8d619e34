package rpc

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/rpc/reason"
)

const (
	year        = 365 * 24 * time.Hour
	maxID       = 128 // bytes of a worker, boot or request id, or of a key
	maxLabels   = 16
	maxLabelKey = 64
	maxLabel    = 256
	maxAddress  = 255
)

var (
	queueName  = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)
	memberName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	workerID   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}$`)
)

// violations collects everything that is wrong with one request.
type violations []*errdetails.BadRequest_FieldViolation

func (v *violations) add(field, format string, args ...any) {
	*v = append(*v, &errdetails.BadRequest_FieldViolation{Field: field, Description: fmt.Sprintf(format, args...)})
}

// err returns nil or one INVALID_ARGUMENT with every violation.
func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	msgs := make([]string, len(v))
	for i, f := range v {
		msgs[i] = f.Field + ": " + f.Description
	}
	return statusError(codes.InvalidArgument, reason.InvalidField, strings.Join(msgs, "; "),
		map[string]string{"field": v[0].Field}, &errdetails.BadRequest{FieldViolations: v})
}

func (v *violations) queue(field, name string) {
	if !queueName.MatchString(name) {
		v.add(field, "got %s, want %s", quoted(name), queueName)
	}
}

func (v *violations) member(field, name string) {
	if !memberName.MatchString(name) {
		v.add(field, "got %s, want %s", quoted(name), memberName)
	}
}

func (v *violations) hostPort(field, addr string) {
	host, port, err := net.SplitHostPort(addr)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || host == "" || len(addr) > maxAddress {
		v.add(field, "got %s, want host:port", quoted(addr))
	}
}

func (v *violations) worker(id, boot string) {
	v.workerID("worker_id", id)
	v.workerID("boot_id", boot)
}

func (v *violations) workerID(field, id string) {
	if !workerID.MatchString(id) {
		v.add(field, "got %s, want %s", quoted(id), workerID)
	}
}

func (v *violations) labels(field string, labels map[string]string) {
	if len(labels) > maxLabels {
		v.add(field, "got %d, want at most %d", len(labels), maxLabels)
	}
	for key, value := range labels {
		switch {
		case key == "" || len(key) > maxLabelKey || strings.ContainsRune(key, 0):
			v.add(field, "key %s: want 1 to %d bytes without NUL", quoted(key), maxLabelKey)
		case len(value) > maxLabel || strings.ContainsRune(value, 0):
			v.add(field+"["+key+"]", "want at most %d bytes without NUL", maxLabel)
		}
	}
}

// duration checks an optional duration and returns it in nanoseconds, 0 when unset.
func (v *violations) duration(field string, d *durationpb.Duration, least, most time.Duration) int64 {
	if d == nil {
		return 0
	}
	if err := d.CheckValid(); err != nil {
		v.add(field, "not a valid duration: want %v to %v", least, most)
		return 0
	}
	got := d.AsDuration()
	if got < least || got > most {
		v.add(field, "got %v, want %v to %v", got, least, most)
		return 0
	}
	return int64(got)
}

// quoted shows a caller's string safely and shortly.
func quoted(s string) string {
	const most = 80
	if len(s) > most {
		s = fsm.Clip(s, most) + "…"
	}
	return fmt.Sprintf("%+q", s)
}
