package api

import (
	"context"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// longest bounds a call that is no stream: the longest wait, and some.
const longest = maxWait + 15*time.Second

// calls is the connection of the gateway's clients. It adds to each call what its
// request said elsewhere than in body and path.
type calls struct{ grpc.ClientConnInterface }

// Invoke implements grpc.ClientConnInterface.
func (c calls) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if err := complete(ctx, args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	return c.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface.
func (c calls) NewStream(ctx context.Context, d *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := c.ClientConnInterface.NewStream(ctx, d, method, opts...)
	if err != nil {
		return nil, err
	}
	return &firstMessage{ClientStream: s, ctx: ctx}, nil
}

// firstMessage completes the first message of a stream.
type firstMessage struct {
	grpc.ClientStream
	ctx  context.Context
	sent bool
}

// SendMsg implements grpc.ClientStream.
func (s *firstMessage) SendMsg(m any) error {
	if !s.sent {
		s.sent = true
		if err := complete(s.ctx, m); err != nil {
			return err
		}
	}
	return s.ClientStream.SendMsg(m)
}

// complete adds to a request message what its HTTP request's headers say.
func complete(ctx context.Context, m any) error {
	if m, ok := m.(*taskraftv1.UpdateQueueRequest); ok {
		m.UpdateMask = settingsOf(m.GetUpdateMask())
	}
	if m, ok := m.(*taskraftv1.WatchEventsRequest); ok && headersOf(ctx).last != "" {
		m.Since = headersOf(ctx).last // the same URL again, from where it broke off
	}
	key := headersOf(ctx).key
	if key == "" {
		return nil
	}
	var id *string
	switch m := m.(type) {
	case *taskraftv1.SubmitTaskRequest:
		if m.Task == nil {
			m.Task = &taskraftv1.TaskSpec{}
		}
		id = &m.Task.RequestId
	case *taskraftv1.SubmitBatchRequest:
		if m.Batch == nil {
			m.Batch = &taskraftv1.BatchSpec{}
		}
		id = &m.Batch.RequestId
	case interface{ GetCall() *taskraftv1.Call }:
		return malformed("Idempotency-Key: only the submit of one task or of a batch takes one")
	default: // reads, and what is safe to repeat anyway
		return nil
	}
	if *id != "" && *id != key {
		return malformed("Idempotency-Key: request_id says something else")
	}
	*id = key
	return nil
}

// settingsOf keeps of each path the setting itself: the gateway derives a mask from
// the body and names what is inside of settings too.
func settingsOf(mask *fieldmaskpb.FieldMask) *fieldmaskpb.FieldMask {
	if mask == nil {
		return nil
	}
	out := &fieldmaskpb.FieldMask{}
	for _, path := range mask.GetPaths() {
		path, _, _ = strings.Cut(path, ".")
		if n := len(out.Paths); n == 0 || out.Paths[n-1] != path { // they are sorted
			out.Paths = append(out.Paths, path)
		}
	}
	return out
}

func malformed(detail string) error {
	st, err := status.New(codes.InvalidArgument, detail).WithDetails(&errdetails.ErrorInfo{Reason: reason.MalformedRequest, Domain: reason.Domain})
	if err != nil {
		return status.Error(codes.InvalidArgument, detail)
	}
	return st.Err()
}
