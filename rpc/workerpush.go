package rpc

import (
	"context"
	"net"
	"strconv"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// AddWorker puts an address on the list that the leader dials.
func (s *Server) AddWorker(ctx context.Context, req *taskraftv1.AddWorkerRequest) (*taskraftv1.AddWorkerResponse, error) {
	var v violations
	v.address("push", req.GetPush())
	cmd := command(ctx, &v, req.GetCall())
	if err := v.err(); err != nil {
		return nil, err
	}
	cmd.Kind = &fsmpb.Command_SetPush{SetPush: &fsmpb.SetPush{Addr: req.GetPush(), Fixed: !req.GetSelf()}}
	res, pos, err := s.node.Propose(ctx, cmd)
	switch {
	case err != nil:
		return nil, s.statusOf(err)
	case res.Outcome != fsm.Accepted && res.Outcome != fsm.Duplicate:
		return nil, refusal(res.Outcome, nil)
	}
	return &taskraftv1.AddWorkerResponse{Outcome: outcome(res.Outcome), Position: s.position(pos)}, nil
}

// address checks that somebody can be dialled at host:port. It must pass for a
// worker's id, too, so that the list can name a worker that nobody has met.
func (v *violations) address(field, addr string) {
	host, port, err := net.SplitHostPort(addr)
	n, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || bad != nil || n == 0 || host == "" || len(addr) > maxID || !workerID.MatchString(addr) {
		v.add(field, "got %s, want host:port of at most %d bytes", quoted(addr), maxID)
		return
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		v.add(field, "got %s, which the masters cannot reach: want an address of the worker's host", quoted(addr))
	}
}

// unmet are the addresses on the list at which nobody was found yet.
func unmet(m *fsm.Machine) (out []*taskraftv1.Worker) {
	for p := range m.Pushes() {
		if p.Worker == "" {
			out = append(out, &taskraftv1.Worker{
				WorkerId: p.Addr, Push: p.Addr, Mode: "push", State: taskraftv1.WorkerState_WORKER_AWAY, SeenTime: timestamp(p.AddedAt),
			})
		}
	}
	return out
}
