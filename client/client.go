package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"github.com/taskraft/taskraft/internal/follow"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	// repeatLimit is how long one mutating call is repeated: well under the hour
	// for which the table remembers a client's outcomes.
	repeatLimit = 10 * time.Minute
	// staleTry is how long one master may take over a stale read before another
	// is asked.
	staleTry = time.Second
)

var errRepeatLimit = errors.New("repeated for ten minutes without an answer")

// Config says which cluster to use.
type Config struct {
	// Masters are gRPC addresses as host:port; hosts may be DNS names. One
	// reachable master is enough, the others are learned from it.
	Masters []string
	// DialOptions add to the options of every connection.
	DialOptions []grpc.DialOption
	// TracerProvider makes a span for every submit. Nil: those of callers make one
	// when the context of a submit has a span, and there is none otherwise. Either
	// way the task, and what runs it, belong to the caller's trace.
	TracerProvider trace.TracerProvider
	// Logger gets leader changes at level debug and hung masters at level warn.
	// Nil discards them.
	Logger *slog.Logger
}

// DefaultConfig returns the three masters of a local cluster.
func DefaultConfig() Config {
	return Config{Masters: []string{"127.0.0.1:7400", "127.0.0.1:7410", "127.0.0.1:7420"}}
}

// Client talks to one cluster. Its methods may be called from any number of
// goroutines; use one Client per process.
type Client struct {
	follow *follow.Follower
	calls  calls
	tracer trace.TracerProvider // Config.TracerProvider

	life    context.Context // ends with Close
	end     context.CancelFunc
	gather  gather
	watches watches
}

// New returns a Client that connects in the background. It fails only when the
// configuration is wrong.
func New(cfg Config) (*Client, error) {
	f, err := follow.New(follow.Config{Masters: cfg.Masters, Dial: cfg.DialOptions, Logger: cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("start client: %w", err)
	}
	c := &Client{follow: f, tracer: cfg.TracerProvider}
	c.calls.init()
	c.life, c.end = context.WithCancel(context.Background())
	c.gather.c = c
	c.watches.init(c)
	return c, nil
}

// Close fails what is under way and closes the connections. A change that was sent
// but not answered fails with ErrUncertain.
func (c *Client) Close() error {
	c.end()
	c.follow.Close()
	c.gather.close()
	c.watches.close()
	return nil
}

// ReadOption says how fresh a read must be.
type ReadOption func(*readOptions)

type readOptions struct {
	consistency taskraftv1.Consistency
	minIndex    uint64
}

// WithStale lets any master answer from what it knows. The answer is still never
// older than one this Client has seen before.
func WithStale() ReadOption {
	return func(o *readOptions) { o.consistency = taskraftv1.Consistency_STALE }
}

// WithLinearizable has the leader answer, with all that was acknowledged before
// the read began. It is the default of everything but lists.
func WithLinearizable() ReadOption {
	return func(o *readOptions) { o.consistency = taskraftv1.Consistency_LINEARIZABLE }
}

// WithMinIndex has a master answer only once it has applied the log up to index
// n: with the Index of a Receipt any master shows the submitted task.
func WithMinIndex(n uint64) ReadOption {
	return func(o *readOptions) { o.minIndex = n }
}

func readOptionsOf(deflt taskraftv1.Consistency, opts []ReadOption) readOptions {
	o := readOptions{consistency: deflt}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// positioned is every answer.
type positioned interface {
	GetPosition() *taskraftv1.Position
}

// read makes one read and never returns an answer older than one that was seen
// when the read began.
func read[Resp positioned](ctx context.Context, c *Client, op string, o readOptions, call func(context.Context, grpc.ClientConnInterface) (Resp, error)) (Resp, error) {
	var resp Resp
	seen := c.follow.Position()
	try := func(ctx context.Context, conn grpc.ClientConnInterface) error {
		r, err := call(ctx, conn)
		if err != nil {
			return err
		}
		at := follow.PositionOf(r.GetPosition())
		if at.Before(seen) {
			return follow.ErrBehind
		}
		c.follow.Observe(at)
		resp = r
		return nil
	}
	var err error
	if o.consistency == taskraftv1.Consistency_STALE {
		err = c.follow.DoAny(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			ctx, cancel := context.WithTimeout(ctx, staleTry)
			defer cancel()
			return try(ctx, conn)
		})
	} else {
		err = c.follow.Do(ctx, try)
	}
	return resp, wrap(op, err, false)
}

// change makes one mutating call under one call number.
func change[Resp positioned](ctx context.Context, c *Client, op string, call func(context.Context, grpc.ClientConnInterface, *taskraftv1.Call) (Resp, error)) (Resp, error) {
	var resp Resp
	if d, ok := ctx.Deadline(); !ok || time.Until(d) > repeatLimit {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, repeatLimit, errRepeatLimit)
		defer cancel()
	}
	n, err := c.calls.begin(ctx)
	if err != nil {
		return resp, fmt.Errorf("%s: too many calls are under way: %w", op, err)
	}
	defer c.calls.end(n.seq)
	repeat := false
	err = c.follow.Do(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		id := &taskraftv1.Call{ClientId: n.client, Seq: n.seq, AckedBelow: c.calls.ackedBelow(), Repeat: repeat}
		if repeat && mutated("M20") { // S3
			id = nil
		}
		r, err := call(ctx, conn, id)
		if err != nil {
			repeat = repeat || follow.Maybe(err)
			return err
		}
		c.follow.Observe(follow.PositionOf(r.GetPosition()))
		resp = r
		return nil
	})
	return resp, wrap(op, err, true)
}
