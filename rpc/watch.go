package rpc

import (
	"context"
	"errors"
	"io"
	"slices"

	"google.golang.org/grpc"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

type watchStream = grpc.BidiStreamingServer[taskraftv1.WatchTasksRequest, taskraftv1.WatchTasksResponse]

const (
	maxWatchIDs   = 10_000  // in one message
	maxWatchEnds  = 1000    // in one message
	maxWatchBytes = 1 << 20 // of results in one message; a single one may be larger
)

// WatchTasks tells of tasks as they end: this goroutine sends, a second one reads.
func (s *Server) WatchTasks(stream watchStream) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	w, err := s.node.WatchTasks(ctx)
	if err != nil {
		return s.statusOf(err)
	}
	defer w.Close()
	if err := stream.Send(&taskraftv1.WatchTasksResponse{Position: s.position(s.node.Position())}); err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() { sent <- s.sendEnds(ctx, stream, w) }()
	received := make(chan error, 1)
	go func() { received <- s.takeWatches(ctx, stream, w) }()
	select {
	case err = <-sent: // returning ends the receiver
		return err
	case err = <-received:
		cancel()
		<-sent
		return err
	}
}

// takeWatches hands on what is to be watched until the caller has no more to say.
func (s *Server) takeWatches(ctx context.Context, stream watchStream, w *cluster.Watch) error {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var v violations
		if n := len(req.GetIds()); n > maxWatchIDs {
			v.add("ids", "got %d, want at most %d in one message", n, maxWatchIDs)
		}
		if slices.Contains(req.GetIds(), 0) {
			v.add("ids", "got 0, want task ids of 1 or more")
		}
		if err := v.err(); err != nil {
			return err
		}
		w.Forget(req.GetForget())
		switch err := w.Add(ctx, req.GetIds()); {
		case errors.Is(err, cluster.ErrWatchFull):
			v.add("ids", "%v: want at most %d that have not ended", err, cluster.MaxWatched)
			return v.err()
		case err != nil:
			return s.statusOf(err)
		}
	}
}

// sendEnds tells of ends, in messages of bounded size, until the stream ends.
func (s *Server) sendEnds(ctx context.Context, stream watchStream, w *cluster.Watch) error {
	for {
		ended, pos, err := w.Next(ctx)
		if err != nil {
			return s.statusOf(err)
		}
		for len(ended) > 0 {
			n := fit(ended)
			if err := stream.Send(s.ends(ended[:n], pos)); err != nil {
				return err
			}
			ended = ended[n:]
		}
	}
}

// fit returns how many ends go into one message, at least one.
func fit(ended []cluster.Ended) int {
	size := 0
	for i, e := range ended {
		if e.Task != nil {
			size += len(e.Task.Result)
		}
		if i == maxWatchEnds || (i > 0 && size > maxWatchBytes) {
			return i
		}
	}
	return len(ended)
}

func (s *Server) ends(ended []cluster.Ended, pos cluster.Position) *taskraftv1.WatchTasksResponse {
	m := &taskraftv1.WatchTasksResponse{Position: s.position(pos)}
	for _, e := range ended {
		switch {
		case e.Task != nil:
			t := task(e.Task, true)
			t.Spec.Payload = nil
			m.Ended = append(m.Ended, t)
		case e.Known:
			m.Forgotten = append(m.Forgotten, e.ID)
		default:
			m.Unknown = append(m.Unknown, e.ID)
		}
	}
	return m
}
