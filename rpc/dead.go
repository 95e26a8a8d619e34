package rpc

import (
	"context"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// ListDead returns one page of DEAD tasks, newest first. A page ends early when
// its filter matched little of what was read.
func (s *Server) ListDead(ctx context.Context, req *taskraftv1.ListDeadRequest) (*taskraftv1.ListDeadResponse, error) {
	var v violations
	level := v.consistency(req.GetConsistency(), cluster.Stale)
	size := v.pageSize(req.GetPageSize())
	filter := v.deadFilter(req.GetFilter())
	before, ok := pageID(req.GetPageToken(), filterKey(req.GetFilter()))
	if !ok {
		v.add("page_token", "not a token of this list: start again without one")
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	out := &taskraftv1.ListDeadResponse{}
	bytes := 0
	pos, err := s.node.Read(ctx, cluster.ReadOptions{Level: level, MinIndex: req.GetMinIndex()}, func(m *fsm.Machine) {
		for t := range m.DeadBefore(filter, before) {
			if len(out.Tasks) == size || bytes > maxPageSize {
				out.NextPageToken = pageToken(out.Tasks[len(out.Tasks)-1].GetId(), filterKey(req.GetFilter()))
				return
			}
			row := task(t, false)
			bytes += proto.Size(row)
			out.Tasks = append(out.Tasks, row)
		}
	})
	if err != nil {
		return nil, s.statusOf(err)
	}
	out.Position = s.position(pos)
	return out, nil
}

// ListDeadGroups returns one page of groups by id.
func (s *Server) ListDeadGroups(ctx context.Context, req *taskraftv1.ListDeadGroupsRequest) (*taskraftv1.ListDeadGroupsResponse, error) {
	var v violations
	level := v.consistency(req.GetConsistency(), cluster.Stale)
	size := v.pageSize(req.GetPageSize())
	filter := v.deadFilter(req.GetFilter())
	after, ok := pageID(req.GetPageToken(), "groups "+filterKey(req.GetFilter()))
	if !ok {
		v.add("page_token", "not a token of this list: start again without one")
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	out := &taskraftv1.ListDeadGroupsResponse{}
	last := uint64(0)
	pos, err := s.node.Read(ctx, cluster.ReadOptions{Level: level, MinIndex: req.GetMinIndex()}, func(m *fsm.Machine) {
		for g := range m.DeadGroups(filter, after) {
			if len(out.Groups) == size {
				out.NextPageToken = pageToken(last, "groups "+filterKey(req.GetFilter()))
				return
			}
			last = g.ID
			out.Groups = append(out.Groups, deadGroup(g))
		}
	})
	if err != nil {
		return nil, s.statusOf(err)
	}
	out.Position = s.position(pos)
	return out, nil
}

// RetryDead retries all DEAD tasks that match, or counts them.
func (s *Server) RetryDead(ctx context.Context, req *taskraftv1.RetryDeadRequest) (*taskraftv1.RetryDeadResponse, error) {
	var v violations
	filter := v.deadFilter(req.GetFilter())
	cmd := command(ctx, &v, req.GetCall())
	if err := v.err(); err != nil {
		return nil, err
	}
	if req.GetValidateOnly() {
		count := 0
		pos, err := s.node.Read(ctx, cluster.ReadOptions{Level: cluster.Linearizable}, func(m *fsm.Machine) {
			for g := range m.DeadGroups(filter, 0) {
				count += g.Count
			}
		})
		if err != nil {
			return nil, s.statusOf(err)
		}
		return &taskraftv1.RetryDeadResponse{Count: uint64(count), Position: s.position(pos)}, nil
	}
	cmd.Kind = &fsmpb.Command_RetryDead{RetryDead: filter}
	res, pos, err := s.node.Propose(ctx, cmd)
	switch {
	case err != nil:
		return nil, s.statusOf(err)
	case res.Outcome != fsm.Accepted:
		return nil, refusal(res.Outcome, nil)
	}
	return &taskraftv1.RetryDeadResponse{Count: res.Count, Position: s.position(pos)}, nil
}

func (v *violations) deadFilter(f *taskraftv1.DeadFilter) *fsmpb.RetryDead {
	out := &fsmpb.RetryDead{Queue: f.GetQueue()}
	if f == nil {
		return out
	}
	out.Kind = f.Kind
	if f.GetQueue() != "" {
		v.queue("filter.queue", f.GetQueue())
	}
	v.text("filter.kind", f.GetKind(), maxKind)
	if f.GetGroup() != "" {
		id, err := strconv.ParseUint(f.GetGroup(), 16, 64)
		if err != nil || id == 0 || len(f.GetGroup()) != 16 {
			v.add("filter.group", "got %s, want the 16 hexadecimal digits of a group", quoted(f.GetGroup()))
		}
		out.Group = id
	}
	return out
}

func deadGroup(g *fsm.DeadGroup) *taskraftv1.DeadGroup {
	return &taskraftv1.DeadGroup{
		Id: fmt.Sprintf("%016x", g.ID), Queue: g.Queue, Kind: g.Kind, Error: g.Error, Count: uint64(g.Count),
		FirstTime: timestamp(g.FirstAt), LastTime: timestamp(g.LastAt), Example: g.Example,
	}
}

// filterKey is what a page token is for.
func filterKey(f *taskraftv1.DeadFilter) string {
	return fmt.Sprintf("%q %t %q %q", f.GetQueue(), f != nil && f.Kind != nil, f.GetKind(), f.GetGroup())
}
