package client

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskraft/taskraft/internal/follow"
	"github.com/taskraft/taskraft/rpc/reason"
)

var (
	// ErrNoLeader: no master that leads was reached before the context ended.
	// Nothing was changed.
	ErrNoLeader = errors.New("no leader found")
	// ErrUncertain: the call may or may not have taken effect, now or later. A
	// submit with a RequestID can be repeated safely.
	ErrUncertain = errors.New("outcome unknown")
)

// Error is the masters' answer to a call that they did not carry out.
type Error struct {
	Op       string     // what was called: "submit"
	Code     codes.Code // gRPC code
	Reason   string     // a constant of package rpc/reason; empty for errors of the transport
	Message  string
	Fields   []Field           // what is wrong with which field
	Metadata map[string]string // what the reason documents

	uncertain bool
}

// Field names one field of a request and what it must be.
type Field struct{ Name, Description string }

func (e *Error) Error() string { return e.Op + ": " + e.Message }

// Is makes errors.Is true for ErrUncertain when the answer leaves open whether the
// call took effect, and for the context errors when it says that time ran out.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrUncertain:
		return e.uncertain
	case context.DeadlineExceeded:
		return e.Code == codes.DeadlineExceeded
	case context.Canceled:
		return e.Code == codes.Canceled
	}
	return false
}

// invalid is an Error of this side: the call is not made.
func invalid(op string, fields ...Field) error {
	e := &Error{Op: op, Code: codes.InvalidArgument, Reason: reason.InvalidField, Fields: fields}
	for i, f := range fields {
		if i > 0 {
			e.Message += "; "
		}
		e.Message += f.Name + ": " + f.Description
	}
	return e
}

// wrap turns what package follow returns into what callers see.
func wrap(op string, err error, changes bool) error {
	if err == nil {
		return nil
	}
	if gave, ok := errors.AsType[*follow.GaveUpError](err); ok {
		switch {
		case changes && gave.Maybe:
			return fmt.Errorf("%s: %w: %w", op, ErrUncertain, gave)
		case gave.NoLeader:
			return fmt.Errorf("%s: %w: %w", op, ErrNoLeader, gave)
		}
		return fmt.Errorf("%s: %w", op, gave)
	}
	st, ok := status.FromError(err)
	if !ok {
		return fmt.Errorf("%s: %w", op, err)
	}
	e := &Error{Op: op, Code: st.Code(), Message: st.Message()}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == reason.Domain {
				e.Reason, e.Metadata = d.GetReason(), d.GetMetadata()
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				e.Fields = append(e.Fields, Field{v.GetField(), v.GetDescription()})
			}
		}
	}
	e.uncertain = changes && e.indefinite()
	return e
}

// indefinite reports whether the answer leaves open what happened.
func (e *Error) indefinite() bool {
	switch e.Reason {
	case reason.CallForgotten, reason.OutcomeUnknown, reason.Internal:
		return true
	case "":
		switch e.Code {
		case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded, codes.Internal, codes.Unknown:
			return true
		}
	}
	return false
}
