package inproc

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Conn is client and server at once. It implements grpc.ServiceRegistrar and
// grpc.ClientConnInterface; register everything before the first call.
type Conn struct {
	aroundUnary  grpc.UnaryServerInterceptor
	aroundStream grpc.StreamServerInterceptor
	unary        map[string]unaryMethod
	streams      map[string]streamMethod

	closed context.Context
	close  context.CancelFunc
	wg     sync.WaitGroup // of the streams' handlers
}

type unaryMethod struct {
	impl   any
	handle grpc.MethodHandler
}

type streamMethod struct {
	impl any
	desc grpc.StreamDesc
}

// New returns a connection without services, whose handlers run inside the two
// interceptors.
func New(unary grpc.UnaryServerInterceptor, stream grpc.StreamServerInterceptor) *Conn {
	c := &Conn{aroundUnary: unary, aroundStream: stream, unary: make(map[string]unaryMethod), streams: make(map[string]streamMethod)}
	c.closed, c.close = context.WithCancel(context.Background())
	return c
}

// RegisterService implements grpc.ServiceRegistrar.
func (c *Conn) RegisterService(d *grpc.ServiceDesc, impl any) {
	for _, m := range d.Methods {
		c.unary["/"+d.ServiceName+"/"+m.MethodName] = unaryMethod{impl, m.Handler}
	}
	for _, s := range d.Streams {
		c.streams["/"+d.ServiceName+"/"+s.StreamName] = streamMethod{impl, s}
	}
}

// Close ends every stream and waits for its handler. Calls fail from then on with
// UNAVAILABLE.
func (c *Conn) Close() {
	c.close()
	c.wg.Wait()
}

// Invoke implements grpc.ClientConnInterface.
func (c *Conn) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	m, ok := c.unary[method]
	switch {
	case !ok:
		return unknown(method)
	case c.closed.Err() != nil:
		return errClosed
	}
	decode := func(in any) error { return give(in, args) }
	out, err := m.handle(m.impl, arrived(ctx), decode, c.aroundUnary)
	if err != nil {
		return statusOf(err)
	}
	return give(reply, out)
}

// arrived is a call's context at the other side: what was to go out has come in.
func arrived(ctx context.Context) context.Context {
	md, ok := metadata.FromOutgoingContext(ctx)
	if !ok || len(md) == 0 {
		return ctx
	}
	return metadata.NewIncomingContext(ctx, md)
}

var errClosed = status.Error(codes.Unavailable, "the server is closed")

func unknown(method string) error {
	return status.Errorf(codes.Unimplemented, "unknown method %s", method)
}

// give makes to a copy of from.
func give(to, from any) error {
	dst, ok1 := to.(proto.Message)
	src, ok2 := from.(proto.Message)
	if !ok1 || !ok2 {
		return status.Errorf(codes.Internal, "got %T for %T, want messages", from, to)
	}
	proto.Reset(dst)
	proto.Merge(dst, src)
	return nil
}

// statusOf is what a transport makes of a handler's error.
func statusOf(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	return status.Error(codes.Unknown, err.Error())
}
