package rpc

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const maxMemberName = 63

// GetStatus returns this master's own view.
func (s *Server) GetStatus(context.Context, *taskraftv1.GetStatusRequest) (*taskraftv1.GetStatusResponse, error) {
	st := s.node.Status()
	leader, _ := s.node.Leader()
	return &taskraftv1.GetStatusResponse{
		ClusterId: st.ClusterID, Name: st.Name, Role: st.Role, Term: st.Term, Leader: s.leaderInfo(leader),
		CommitIndex: st.Commit, AppliedIndex: st.Applied, LastIndex: st.Last, SnapshotIndex: st.Snap, Serving: st.Serving,
		FsyncP50: durationpb.New(st.FsyncP50), FsyncP99: durationpb.New(st.FsyncP99),
		Tasks: uint64(st.Tasks), Sessions: uint64(st.Sessions), Queues: uint64(st.Queues),
		StartTime: timestamppb.New(st.Started), Version: st.Version, Alarms: st.Alarms, Counters: st.Counters,
		Position: s.position(s.node.Position()), FeatureLevel: st.Level, NewestFeatureLevel: fsm.Level,
		DiskFree: st.DiskFree, DiskTotal: st.DiskTotal,
	}, nil
}

// ListMembers asks every master how it is.
func (s *Server) ListMembers(ctx context.Context, _ *taskraftv1.ListMembersRequest) (*taskraftv1.ListMembersResponse, error) {
	out := &taskraftv1.ListMembersResponse{Position: s.position(s.node.Position())}
	for _, m := range s.node.Members(ctx) {
		out.Members = append(out.Members, &taskraftv1.Member{
			Name: m.Name, ServerId: m.ServerID, Raft: m.Raft, Grpc: m.GRPC, Http: m.HTTP, Voter: m.Voter, Leader: m.Leader,
			Reachable: m.Reachable, AppliedIndex: m.AppliedIndex, ClockOffset: durationpb.New(m.ClockOffset), Version: m.Version,
			FeatureLevel: m.Level,
		})
	}
	return out, nil
}

// TransferLeadership moves leadership to another master.
func (s *Server) TransferLeadership(ctx context.Context, req *taskraftv1.TransferLeadershipRequest) (*taskraftv1.TransferLeadershipResponse, error) {
	var v violations
	v.text("to", req.GetTo(), maxMemberName)
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := s.node.Transfer(ctx, req.GetTo()); err != nil {
		return nil, s.statusOf(err)
	}
	leader, _ := s.node.Leader()
	return &taskraftv1.TransferLeadershipResponse{Leader: s.leaderInfo(leader)}, nil
}

// AddMember takes a master in.
func (s *Server) AddMember(ctx context.Context, req *taskraftv1.AddMemberRequest) (*taskraftv1.AddMemberResponse, error) {
	var v violations
	v.member("name", req.GetName())
	v.hostPort("raft", req.GetRaft())
	v.text("incarnation", req.GetIncarnation(), maxMemberName)
	if err := v.err(); err != nil {
		return nil, err
	}
	a, err := s.node.AddMember(ctx, cluster.Joiner{
		Name: req.GetName(), Raft: req.GetRaft(), Incarnation: req.GetIncarnation(), Replace: req.GetReplace(),
	})
	if err != nil {
		return nil, s.statusOf(err)
	}
	out := &taskraftv1.AddMemberResponse{ClusterId: a.ClusterID, ServerId: a.ServerID}
	for _, m := range a.Members {
		out.Members = append(out.Members, &taskraftv1.Member{Name: m.Name, ServerId: m.ServerID, Raft: m.Raft, Voter: m.Voter})
	}
	return out, nil
}

// RemoveMember removes a member.
func (s *Server) RemoveMember(ctx context.Context, req *taskraftv1.RemoveMemberRequest) (*taskraftv1.RemoveMemberResponse, error) {
	var v violations
	v.member("name", req.GetName())
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := s.node.RemoveMember(ctx, req.GetName()); err != nil {
		return nil, s.statusOf(err)
	}
	leader, _ := s.node.Leader()
	return &taskraftv1.RemoveMemberResponse{Leader: s.leaderInfo(leader)}, nil
}

// Finalize raises the table's feature level.
func (s *Server) Finalize(ctx context.Context, req *taskraftv1.FinalizeRequest) (*taskraftv1.FinalizeResponse, error) {
	var v violations
	if l := req.GetLevel(); l == 0 || l > math.MaxUint16 {
		v.add("level", "want a feature level from 1 to 65535")
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := s.node.Finalize(ctx, req.GetLevel(), req.GetValidateOnly()); err != nil {
		return nil, s.statusOf(err)
	}
	return &taskraftv1.FinalizeResponse{FeatureLevel: s.node.FeatureLevel()}, nil
}

// WatchLeader sends the leader now and at every change.
func (s *Server) WatchLeader(_ *taskraftv1.WatchLeaderRequest, stream grpc.ServerStreamingServer[taskraftv1.LeaderInfo]) error {
	for {
		leader, changed := s.node.Leader()
		if err := stream.Send(s.leaderInfo(leader)); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return nil
		case <-s.node.Done():
			return s.statusOf(cluster.ErrStopped)
		}
	}
}

// GetStateDigest returns SHA-256 of this master's canonical snapshot.
func (s *Server) GetStateDigest(ctx context.Context, _ *taskraftv1.GetStateDigestRequest) (*taskraftv1.GetStateDigestResponse, error) {
	index, sum, err := s.node.Digest(ctx)
	if err != nil {
		return nil, s.statusOf(err)
	}
	return &taskraftv1.GetStateDigestResponse{Index: index, Sha256: hex.EncodeToString(sum[:]), Position: s.position(s.node.Position())}, nil
}

// GetStateHash returns the hash of this master's table after one entry.
func (s *Server) GetStateHash(ctx context.Context, req *taskraftv1.GetStateHashRequest) (*taskraftv1.GetStateHashResponse, error) {
	index, hash, err := s.node.StateHash(ctx, req.GetIndex())
	if err != nil {
		return nil, s.statusOf(err)
	}
	return &taskraftv1.GetStateHashResponse{Index: index, Hash: fmt.Sprintf("%016x", hash), Position: s.position(s.node.Position())}, nil
}

// masters returns every master's gRPC address, from the member records.
func (s *Server) masters() []string {
	var out []string
	// A stale read without a minimum index cannot fail on a running node; on a
	// stopped one the list stays empty.
	_, _ = s.node.Read(context.Background(), cluster.ReadOptions{Level: cluster.Stale}, func(m *fsm.Machine) {
		for member := range m.Members() {
			out = append(out, member.GetGrpc())
		}
	})
	return out
}
