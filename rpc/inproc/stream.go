package inproc

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// stream is both ends of one streaming call.
type stream struct {
	ctx      context.Context
	up, down chan proto.Message // unbuffered: a sender waits for its receiver
	closing  sync.Once          // closes ended
	ended    chan struct{}      // the client sends no more
	done     chan struct{}      // the handler has returned
	err      error              // set before done is closed
}

// NewStream implements grpc.ClientConnInterface.
func (c *Conn) NewStream(ctx context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	m, ok := c.streams[method]
	switch {
	case !ok:
		return nil, unknown(method)
	case c.closed.Err() != nil:
		return nil, errClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	detach := context.AfterFunc(c.closed, cancel)
	s := &stream{
		ctx: arrived(ctx), up: make(chan proto.Message), down: make(chan proto.Message),
		ended: make(chan struct{}), done: make(chan struct{}),
	}
	info := &grpc.StreamServerInfo{FullMethod: method, IsClientStream: m.desc.ClientStreams, IsServerStream: m.desc.ServerStreams}
	c.wg.Go(func() {
		defer cancel()
		defer detach()
		defer close(s.done)
		if err := c.aroundStream(m.impl, serverEnd{s}, info, m.desc.Handler); err != nil {
			s.err = statusOf(err)
		}
	})
	return clientEnd{s}, nil
}

// copied is a message of its receiver's own.
func copied(m any) proto.Message { return proto.Clone(m.(proto.Message)) }

type clientEnd struct{ *stream }

// Header implements grpc.ClientStream: there is none.
func (clientEnd) Header() (metadata.MD, error) { return metadata.MD{}, nil }

// Trailer implements grpc.ClientStream: there is none.
func (clientEnd) Trailer() metadata.MD { return nil }

// Context implements grpc.ClientStream.
func (c clientEnd) Context() context.Context { return c.ctx }

// CloseSend implements grpc.ClientStream.
func (c clientEnd) CloseSend() error {
	c.closing.Do(func() { close(c.ended) })
	return nil
}

var errSentAfterEnd = status.Error(codes.Internal, "message sent after CloseSend")

// SendMsg implements grpc.ClientStream; io.EOF says that RecvMsg tells why.
func (c clientEnd) SendMsg(m any) error {
	select {
	case <-c.done: // first: the handler's end is the better answer
		return io.EOF
	default:
	}
	select {
	case <-c.ended:
		return errSentAfterEnd
	default:
	}
	select {
	case c.up <- copied(m):
		return nil
	case <-c.done:
		return io.EOF
	}
}

// RecvMsg implements grpc.ClientStream.
func (c clientEnd) RecvMsg(m any) error {
	select {
	case got := <-c.down:
		return give(m, got)
	case <-c.done:
	}
	if c.err != nil {
		return c.err
	}
	return io.EOF
}

type serverEnd struct{ *stream }

// SetHeader implements grpc.ServerStream, to no effect.
func (serverEnd) SetHeader(metadata.MD) error { return nil }

// SendHeader implements grpc.ServerStream, to no effect.
func (serverEnd) SendHeader(metadata.MD) error { return nil }

// SetTrailer implements grpc.ServerStream, to no effect.
func (serverEnd) SetTrailer(metadata.MD) {}

// Context implements grpc.ServerStream.
func (s serverEnd) Context() context.Context { return s.ctx }

// SendMsg implements grpc.ServerStream.
func (s serverEnd) SendMsg(m any) error {
	select {
	case s.down <- copied(m):
		return nil
	case <-s.ctx.Done():
		return statusOf(s.ctx.Err())
	}
}

// RecvMsg implements grpc.ServerStream; io.EOF says that the client is done.
func (s serverEnd) RecvMsg(m any) error {
	select {
	case got := <-s.up:
		return give(m, got)
	case <-s.ended:
		return io.EOF
	case <-s.ctx.Done():
		return statusOf(s.ctx.Err())
	}
}
