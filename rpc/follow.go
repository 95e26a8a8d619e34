package rpc

import (
	"google.golang.org/grpc"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	maxProgressText = 256
	maxOffset       = 1 << 62
)

// FollowTask tells of one task until it has ended.
func (s *Server) FollowTask(req *taskraftv1.FollowTaskRequest, stream grpc.ServerStreamingServer[taskraftv1.FollowTaskResponse]) error {
	var v violations
	v.id(req.GetId())
	if err := v.err(); err != nil {
		return err
	}
	ctx := stream.Context()
	f, err := s.node.Follow(ctx, req.GetId(), cluster.FollowFrom{
		Fence: req.GetFence(), Offset: req.GetOffset(), Resumed: req.GetResumed(), NoOutput: req.GetNoOutput(), Once: req.GetOnce(),
	})
	if err != nil {
		return s.statusOf(err)
	}
	defer f.Close()
	for {
		u, known, pos, err := f.Next(ctx)
		switch {
		case err != nil:
			return s.statusOf(err)
		case u == nil:
			return missing(req.GetId(), known)
		}
		if err := stream.Send(s.update(u, pos)); err != nil || u.Done {
			return err
		}
	}
}

func (s *Server) update(u *cluster.Update, pos cluster.Position) *taskraftv1.FollowTaskResponse {
	m := &taskraftv1.FollowTaskResponse{Progress: progress(u.Progress), Done: u.Done, Position: s.position(pos)}
	if u.Task != nil {
		m.Task = s.lively(u.Task, true)
		m.Task.Spec.Payload = nil
	}
	for i := range u.Output {
		o := &u.Output[i]
		m.Output = append(m.Output, &taskraftv1.OutputChunk{
			Task: o.Task, Fence: o.Fence, Attempt: o.Attempt, Offset: o.Offset,
			Stream: taskraftv1.OutputStream(o.Stream), Data: o.Data, End: o.End,
		})
	}
	return m
}

func progress(p *cluster.Progress) *taskraftv1.Progress {
	if p == nil {
		return nil
	}
	return &taskraftv1.Progress{
		Task: p.Task, Fence: p.Fence, Fraction: p.Fraction, Done: p.Done, Total: p.Total, Message: p.Message, Time: timestamp(p.At),
	}
}

// said checks what attempts say before they end.
func said(in []*taskraftv1.Progress, chunks []*taskraftv1.OutputChunk) ([]*cluster.Progress, []cluster.Output, error) {
	var v violations
	progress := make([]*cluster.Progress, len(in))
	for i, p := range in {
		fraction := p.GetFraction()
		if !(fraction >= 0 && fraction <= 1) { // nor NaN
			v.add("progress.fraction", "task %d: got %v, want 0 to 1", p.GetTask(), fraction)
		}
		if p.GetTotal() > 0 {
			fraction = float64(p.GetDone()) / float64(p.GetTotal())
		}
		if p.GetDone() > p.GetTotal() {
			v.add("progress.done", "task %d: got %d of %d, want at most all", p.GetTask(), p.GetDone(), p.GetTotal())
		}
		v.text("progress.message", p.GetMessage(), maxProgressText)
		progress[i] = &cluster.Progress{
			Task: p.GetTask(), Fence: p.GetFence(), Fraction: fraction, Done: p.GetDone(), Total: p.GetTotal(), Message: p.GetMessage(),
		}
	}
	output := make([]cluster.Output, len(chunks))
	for i, o := range chunks {
		if n := len(o.GetData()); n > cluster.MaxOutput {
			v.add("output.data", "task %d: got %d bytes, want at most %d", o.GetTask(), n, cluster.MaxOutput)
		}
		if o.GetOffset() > maxOffset {
			v.add("output.offset", "task %d: got %d, want at most %d", o.GetTask(), o.GetOffset(), uint64(maxOffset))
		}
		if s := o.GetStream(); len(o.GetData()) > 0 && s != taskraftv1.OutputStream_STDOUT && s != taskraftv1.OutputStream_STDERR {
			v.add("output.stream", "task %d: got %d, want STDOUT or STDERR", o.GetTask(), s)
		}
		output[i] = cluster.Output{
			Task: o.GetTask(), Fence: o.GetFence(), Attempt: o.GetAttempt(), Offset: o.GetOffset(),
			Stream: uint8(o.GetStream()), Data: o.GetData(), End: o.GetEnd(),
		}
	}
	return progress, output, v.err()
}
