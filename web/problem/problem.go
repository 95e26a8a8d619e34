package problem

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskraft/taskraft/rpc/reason"
)

// Problem is why a request was refused.
type Problem struct {
	Type   string `json:"type"`  // urn:taskraft:reason:REASON
	Title  string `json:"title"` // of the status
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Reason is one of package reason.
	Reason string `json:"reason"`
	// Metadata is what the reason says besides.
	Metadata map[string]string `json:"metadata,omitempty"`
	// Fields are the fields of the request that break a rule.
	Fields []Field `json:"fields,omitempty"`

	// RetryAfter is when to repeat, if that may help; in the header Retry-After.
	RetryAfter time.Duration `json:"-"`
}

// Field is a field and what is wrong with it.
type Field struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

// Write answers with p. Type and Title may be left out.
func Write(w http.ResponseWriter, p Problem) {
	p.Type, p.Title = "urn:taskraft:reason:"+p.Reason, http.StatusText(p.Status)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set(ReasonHeader, p.Reason)
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds()))))
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone: nobody to tell
}

// ReasonHeader has the reason of a refusal, for those who do not read bodies.
const ReasonHeader = "Taskraft-Reason"

// Of makes a problem of an error of the gRPC API.
func Of(err error) Problem {
	st := status.Convert(err)
	p := Problem{Detail: st.Message()}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			p.Reason, p.Metadata = d.GetReason(), d.GetMetadata()
		case *errdetails.BadRequest:
			for _, f := range d.GetFieldViolations() {
				p.Fields = append(p.Fields, Field{f.GetField(), f.GetDescription()})
			}
		case *errdetails.RetryInfo:
			p.RetryAfter = d.GetRetryDelay().AsDuration()
		}
	}
	p.Status = statusOf(st.Code(), p.Reason)
	if p.Reason == "" {
		p.Reason = reasons[st.Code()]
	}
	if p.Reason == "" {
		p.Reason = reason.Internal
	}
	return p
}

// statusOf is the HTTP status of a code, or of a reason that HTTP knows better.
func statusOf(c codes.Code, why string) int {
	switch why {
	case reason.NotLeader: // nobody was found to forward it to
		return http.StatusServiceUnavailable
	case reason.OutcomeUnknown:
		return http.StatusGatewayTimeout
	case reason.Compacted:
		return http.StatusGone
	case reason.InvalidField:
		if c == codes.ResourceExhausted { // a result over the limit
			return http.StatusRequestEntityTooLarge
		}
	}
	if s, ok := statuses[c]; ok {
		return s
	}
	return http.StatusInternalServerError
}

var statuses = map[codes.Code]int{
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.OutOfRange:         http.StatusBadRequest,
	codes.NotFound:           http.StatusNotFound,
	codes.AlreadyExists:      http.StatusConflict,
	codes.FailedPrecondition: http.StatusConflict,
	codes.Aborted:            http.StatusConflict,
	codes.ResourceExhausted:  http.StatusTooManyRequests,
	codes.Unavailable:        http.StatusServiceUnavailable,
	codes.DeadlineExceeded:   http.StatusGatewayTimeout,
	codes.Canceled:           499, // the client closed the request: nobody reads it
	codes.Unimplemented:      http.StatusNotImplemented,
}

// reasons are those of errors that come from the transport and name none.
var reasons = map[codes.Code]string{
	codes.InvalidArgument:  reason.MalformedRequest,
	codes.DeadlineExceeded: reason.OutcomeUnknown,
	codes.Unavailable:      reason.Stopping,
}

// Quoted shows a caller's text safely and shortly.
func Quoted(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "…"
	}
	return fmt.Sprintf("%+q", s)
}
