package client

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// Leader is who leads, as far as a Client knows.
type Leader struct {
	Name      string
	Addr      string // gRPC address; empty: nobody is known to lead at the moment
	HTTP      string
	Term      uint64
	ClusterID string
}

// Leader returns who leads. It asks a master when this Client does not know.
func (c *Client) Leader(ctx context.Context) (Leader, error) {
	if l := c.follow.Leader(); l.GetGrpc() != "" {
		return leaderOf(l), nil
	}
	resp, err := read(ctx, c, "find leader", readOptions{consistency: taskraftv1.Consistency_STALE}, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.GetStatusResponse, error) {
		return taskraftv1.NewClusterServiceClient(conn).GetStatus(ctx, &taskraftv1.GetStatusRequest{})
	})
	if err != nil {
		return Leader{}, err
	}
	c.follow.Learn(resp.GetLeader(), "")
	return leaderOf(c.follow.Leader()), nil
}

func leaderOf(l *taskraftv1.LeaderInfo) Leader {
	return Leader{Name: l.GetName(), Addr: l.GetGrpc(), HTTP: l.GetHttp(), Term: l.GetTerm(), ClusterID: l.GetClusterId()}
}

// Masters returns the gRPC addresses of the masters known so far: those given
// and those learned.
func (c *Client) Masters() []string { return c.follow.Masters() }

// Status asks the one master at addr (host:port) about itself, without repeats.
func (c *Client) Status(ctx context.Context, addr string) (*taskraftv1.GetStatusResponse, error) {
	return ask(c, "get status of "+addr, addr, func(s taskraftv1.ClusterServiceClient) (*taskraftv1.GetStatusResponse, error) {
		return s.GetStatus(ctx, &taskraftv1.GetStatusRequest{})
	})
}

// ask makes one call of op to the one master at addr.
func ask[R any](c *Client, op, addr string, call func(taskraftv1.ClusterServiceClient) (R, error)) (R, error) {
	conn, err := c.follow.Conn(addr)
	if err != nil {
		var none R
		return none, fmt.Errorf("%s: %w", op, err)
	}
	resp, err := call(taskraftv1.NewClusterServiceClient(conn))
	return resp, wrap(op, err, false)
}

// Digest asks the one master at addr for SHA-256 of its canonical snapshot and
// the index it was taken at, without repeats.
func (c *Client) Digest(ctx context.Context, addr string) (*taskraftv1.GetStateDigestResponse, error) {
	return ask(c, "get state digest of "+addr, addr, func(s taskraftv1.ClusterServiceClient) (*taskraftv1.GetStateDigestResponse, error) {
		return s.GetStateDigest(ctx, &taskraftv1.GetStateDigestRequest{})
	})
}

// StateHash asks the one master at addr for the hash of its table after the entry at
// index, without repeats; index 0 is the last one that it has applied. It waits until
// the master has applied that entry, and fails with OUT_OF_RANGE (COMPACTED) when the
// entry is more than about 32,768 entries old.
func (c *Client) StateHash(ctx context.Context, addr string, index uint64) (*taskraftv1.GetStateHashResponse, error) {
	return ask(c, "get state hash of "+addr, addr, func(s taskraftv1.ClusterServiceClient) (*taskraftv1.GetStateHashResponse, error) {
		return s.GetStateHash(ctx, &taskraftv1.GetStateHashRequest{Index: index})
	})
}

// Members returns all masters as one of them sees them.
func (c *Client) Members(ctx context.Context) ([]*taskraftv1.Member, error) {
	resp, err := read(ctx, c, "list members", readOptions{consistency: taskraftv1.Consistency_STALE}, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.ListMembersResponse, error) {
		return taskraftv1.NewClusterServiceClient(conn).ListMembers(ctx, &taskraftv1.ListMembersRequest{})
	})
	return resp.GetMembers(), err
}

// AddMember asks the cluster to take in the master that waits at a Raft address
// (host:port). replace lets it take the place of the member of its name, whose data
// is lost. The new member gets its vote when it has caught up; until then, and when
// it is a member already, another call changes nothing.
func (c *Client) AddMember(ctx context.Context, req *taskraftv1.AddMemberRequest) (*taskraftv1.AddMemberResponse, error) {
	const op = "add member"
	bad := checkText(nil, "name", req.GetName())
	if bad = checkText(bad, "raft", req.GetRaft()); bad != nil {
		return nil, invalid(op, bad...)
	}
	var out *taskraftv1.AddMemberResponse
	err := c.follow.Do(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		resp, err := taskraftv1.NewClusterServiceClient(conn).AddMember(ctx, req)
		out = resp
		return err
	})
	return out, wrap(op, err, true)
}

// RemoveMember removes a master from the cluster. It is not repeated once the leader
// may have done it.
func (c *Client) RemoveMember(ctx context.Context, name string) error {
	const op = "remove member"
	if bad := checkText(nil, "name", name); bad != nil {
		return invalid(op, bad...)
	}
	err := c.follow.DoOnce(ctx, func(_ context.Context, conn grpc.ClientConnInterface) error {
		// The try's own context would end with the reign that this call may end.
		_, err := taskraftv1.NewClusterServiceClient(conn).RemoveMember(ctx, &taskraftv1.RemoveMemberRequest{Name: name})
		return err
	})
	return wrap(op, err, true)
}

// Finalize raises the table's feature level, for good; with validateOnly it only asks
// whether that could be. It returns the table's level.
func (c *Client) Finalize(ctx context.Context, level uint32, validateOnly bool) (uint32, error) {
	var out *taskraftv1.FinalizeResponse
	err := c.follow.Do(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		resp, err := taskraftv1.NewClusterServiceClient(conn).Finalize(ctx, &taskraftv1.FinalizeRequest{Level: level, ValidateOnly: validateOnly})
		out = resp
		return err
	})
	return out.GetFeatureLevel(), wrap("finalize", err, true)
}

// Transfer moves leadership to the named master, or to the best follower when to
// is empty, and returns the new leader. It is not repeated once the leader may
// have begun.
func (c *Client) Transfer(ctx context.Context, to string) (*taskraftv1.LeaderInfo, error) {
	const op = "transfer leadership"
	if bad := checkText(nil, "to", to); bad != nil {
		return nil, invalid(op, bad...)
	}
	var info *taskraftv1.LeaderInfo
	err := c.follow.DoOnce(ctx, func(_ context.Context, conn grpc.ClientConnInterface) error {
		// The try's own context would end with the reign that this call ends.
		resp, err := taskraftv1.NewClusterServiceClient(conn).TransferLeadership(ctx, &taskraftv1.TransferLeadershipRequest{To: to})
		if err != nil {
			return err
		}
		info = resp.GetLeader()
		return nil
	})
	if err == nil {
		c.follow.Learn(info, "")
	}
	return info, wrap(op, err, true)
}
