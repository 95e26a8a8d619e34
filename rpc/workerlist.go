package rpc

import (
	"context"
	"encoding/base64"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// ListWorkers returns one page of workers by id. A page ends early when few of
// many workers that were read have a session; its token goes on from there.
func (s *Server) ListWorkers(ctx context.Context, req *taskraftv1.ListWorkersRequest) (*taskraftv1.ListWorkersResponse, error) {
	var v violations
	level := v.consistency(req.GetConsistency(), cluster.Linearizable)
	size := v.pageSize(req.GetPageSize())
	after, err := base64.RawURLEncoding.DecodeString(req.GetPageToken())
	if err != nil || (len(after) > 0 && !workerID.Match(after)) {
		v.add("page_token", "not a token of this list: start again without one")
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	var found []*fsm.Worker
	out := &taskraftv1.ListWorkersResponse{}
	pos, err := s.node.Read(ctx, cluster.ReadOptions{Level: level, MinIndex: req.GetMinIndex()}, func(m *fsm.Machine) {
		read, last := 0, ""
		for w := range m.WorkersAfter(string(after)) {
			if len(found) == size || read == 10*maxPage {
				out.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(last))
				return
			}
			read, last = read+1, w.Name
			if w.Session != nil || req.GetGone() {
				found = append(found, w)
			}
		}
		out.Workers = unmet(m)
	})
	if err != nil {
		return nil, s.statusOf(err)
	}
	known := make([]*taskraftv1.Worker, len(found))
	for i, w := range found {
		known[i] = s.worker(w, nil)
	}
	out.Workers = append(known, out.Workers...) // on the last page
	out.Position = s.position(pos)
	return out, nil
}

// GetWorker returns one worker with the tasks it holds.
func (s *Server) GetWorker(ctx context.Context, req *taskraftv1.GetWorkerRequest) (*taskraftv1.GetWorkerResponse, error) {
	var v violations
	v.workerID("worker_id", req.GetWorkerId())
	level := v.consistency(req.GetConsistency(), cluster.Linearizable)
	if err := v.err(); err != nil {
		return nil, err
	}
	w, pos, err := s.readWorker(ctx, req.GetWorkerId(), cluster.ReadOptions{Level: level, MinIndex: req.GetMinIndex()})
	if err != nil {
		return nil, err
	}
	return &taskraftv1.GetWorkerResponse{Worker: w, Position: s.position(pos)}, nil
}

// readWorker reads a worker and what it holds.
func (s *Server) readWorker(ctx context.Context, id string, o cluster.ReadOptions) (*taskraftv1.Worker, cluster.Position, error) {
	var w *fsm.Worker
	var held []*fsm.Task
	pos, err := s.node.Read(ctx, o, func(m *fsm.Machine) {
		if w = m.Worker(id); w == nil || w.Session == nil {
			return
		}
		for t := range m.Held(w.Session.ID) {
			held = append(held, t)
		}
	})
	switch {
	case err != nil:
		return nil, pos, s.statusOf(err)
	case w == nil:
		return nil, pos, refusal(fsm.NoWorker, map[string]string{"worker": id})
	}
	return s.worker(w, held), pos, nil
}

// worker converts a record, with what this master, if it leads, hears of it.
func (s *Server) worker(w *fsm.Worker, held []*fsm.Task) *taskraftv1.Worker {
	out := &taskraftv1.Worker{
		WorkerId: w.Name, BootId: w.Boot, SeenTime: timestamp(w.SeenAt), Drained: w.Drained,
		State: taskraftv1.WorkerState_WORKER_GONE,
	}
	r := w.Session
	if r == nil {
		return out
	}
	out.Session, out.Mode, out.Labels, out.Slots, out.Held = r.ID, mode(r), r.Labels, uint32(r.Slots), uint32(r.Held)
	out.Ttl, out.Host, out.Pid, out.Version, out.OpenTime = duration(r.TTL), r.Host, r.PID, r.Version, timestamp(r.OpenedAt)
	out.Push = r.Push
	out.AssignedTotal, out.CompletedTotal, out.FailedTotal = r.AssignedTotal, r.CompletedTotal, r.FailedTotal
	for _, q := range r.Queues {
		out.Queues = append(out.Queues, &taskraftv1.QueueWeight{Queue: q.Queue, Weight: q.Weight})
	}
	for _, t := range held {
		out.Tasks = append(out.Tasks, &taskraftv1.HeldTask{
			Task: t.ID, Fence: t.Fence, Queue: t.Queue, Kind: t.Kind, State: taskraftv1.TaskState(t.State),
			StartTime: timestamp(t.StartedAt), Deadline: timestamp(t.Deadline),
		})
	}
	contact, leads := s.node.Contact(r.ID)
	if leads {
		out.Silent = durationpb.New(contact.Silent.Round(time.Millisecond))
	}
	switch {
	case leads && !contact.Attached:
		out.State = taskraftv1.WorkerState_WORKER_AWAY
	case !r.Drained && !r.Draining:
		out.State = taskraftv1.WorkerState_WORKER_ONLINE
	case r.Held > 0:
		out.State = taskraftv1.WorkerState_WORKER_DRAINING
	default:
		out.State = taskraftv1.WorkerState_WORKER_DRAINED
	}
	return out
}

// mode is how the session takes tasks.
func mode(r *fsm.Session) string {
	switch {
	case r.Push != "":
		return "push"
	case r.Pull:
		return "pull"
	}
	return "stream"
}
