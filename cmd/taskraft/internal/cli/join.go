package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// joinWithin is how long a master that joins looks for the cluster's leader.
const joinWithin = 30 * time.Second

// joins tells whether a master without data joins a cluster instead of forming one.
func (m *masterConfig) joins() bool { return len(m.join) > 0 || m.rejoin }

func (m *masterConfig) checkJoin(add addProblem) {
	switch {
	case len(m.join) > 0 && len(m.peers) > 0:
		add(m.joinRow, "choose one of --join and --peers", strings.Join(m.join, ","), "--peers to form a cluster, --join to enter a running one", "leave one out")
	case len(m.join) == 0 && len(m.peers) == 0:
		add(m.peersRow, "missing", "", "NAME=HOST:PORT,...", "say --peers n1=127.0.0.1:7401 to form a cluster, or --join HOST:7400 to enter a running one")
	}
	if len(m.join) > 0 && m.advertiseRaft == "" && m.raftAddr != "" && (settings.IsUnspecified(m.raftAddr) || hasPortZero(m.raftAddr)) {
		add(m.adRaftRow, "missing, and --raft-addr is no address that others can dial", quoted(m.raftAddr), "the address that other masters reach", "say --advertise-raft HOST:PORT")
	}
}

// knock asks the cluster to take this master in; see cluster.Config.Join.
func (m *masterConfig) knock(log *slog.Logger) func(context.Context, []string, cluster.Joiner) (cluster.Admission, error) {
	return func(ctx context.Context, masters []string, j cluster.Joiner) (cluster.Admission, error) {
		masters = append(slices.Clone(m.join), masters...)
		if len(masters) == 0 {
			return cluster.Admission{}, noCluster(errors.New("none of --peers answers"))
		}
		c, err := client.New(client.Config{Masters: masters, Logger: log})
		if err != nil {
			return cluster.Admission{}, err
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(ctx, joinWithin)
		defer cancel()
		resp, err := c.AddMember(ctx, &taskraftv1.AddMemberRequest{
			Name: j.Name, Raft: j.Raft, Incarnation: j.Incarnation, Replace: j.Replace,
		})
		if err != nil {
			return cluster.Admission{}, joinFailure(err, j)
		}
		return admission(resp), nil
	}
}

func admission(resp *taskraftv1.AddMemberResponse) cluster.Admission {
	a := cluster.Admission{ClusterID: resp.GetClusterId(), ServerID: resp.GetServerId()}
	for _, m := range resp.GetMembers() {
		a.Members = append(a.Members, cluster.Member{Name: m.GetName(), ServerID: m.GetServerId(), Raft: m.GetRaft(), Voter: m.GetVoter()})
	}
	return a
}

// joinFailure says what a refusal means for a master that wants to join.
func joinFailure(err error, j cluster.Joiner) error {
	e, ok := errors.AsType[*client.Error](err)
	switch {
	case !ok:
		return noCluster(err)
	case e.Reason == reason.ChangeUnderWay:
		return fmt.Errorf("%w: %s", cluster.ErrChangeUnderWay, e.Message)
	case e.Reason == reason.MemberExists && !j.Replace:
		err = fmt.Errorf("%w: give this master another --name and address, or say --rejoin if that member's data is lost", err)
	}
	return &cluster.Fault{Kind: cluster.FaultIdentity, Err: fmt.Errorf("join the cluster: %w", err)}
}

func noCluster(err error) error {
	return &cluster.Fault{Kind: cluster.FaultNoLeader, Err: fmt.Errorf("join the cluster: no leader was found within %s: %w: see taskraft cluster status", joinWithin, err)}
}
