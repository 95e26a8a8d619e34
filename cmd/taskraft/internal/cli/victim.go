package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/taskraft/taskraft/client"
)

// victim is a leader that is about to be killed.
type victim struct {
	name string
	kill func(context.Context) error
	// back returns when it has been started again and has caught up.
	back func(context.Context) error
}

// startedVictim is the leader of the cluster that was started here.
func (b *benchRun) startedVictim(ctx context.Context) (*victim, error) {
	leader, err := b.cluster.Leader(ctx)
	if err != nil {
		return nil, err
	}
	return &victim{
		name: leader.Name,
		kill: func(context.Context) error { return leader.Kill() },
		back: func(ctx context.Context) error {
			if err := leader.Start(); err != nil {
				return err
			}
			return b.cluster.Rejoined(ctx, leader)
		},
	}, nil
}

const (
	// backWithin is how long a supervisor may take to start a killed master again.
	backWithin = 2 * time.Minute
	lookEvery  = 100 * time.Millisecond
)

// remoteVictim is the leader of a cluster that runs elsewhere: a command kills it, and
// its supervisor starts it again.
func (a *app) remoteVictim(ctx context.Context, masters []string, command string) (*victim, error) {
	c, err := client.New(client.Config{Masters: masters})
	if err != nil {
		return nil, err
	}
	leader, err := c.Leader(ctx)
	if err == nil && leader.Addr == "" {
		err = fail(exitNoLeader, "taskraft cluster status", "no master leads")
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return &victim{
		name: leader.Name,
		kill: func(ctx context.Context) error {
			cmd := exec.CommandContext(ctx, "sh", "-c", command)
			cmd.Env = append(os.Environ(), "TASKRAFT_LEADER="+leader.Name, "TASKRAFT_LEADER_GRPC="+leader.Addr)
			if out, err := cmd.CombinedOutput(); err != nil {
				return fail(exitError, "the same command by hand", "--kill-command: %w: %s", err, strings.TrimSpace(string(out)))
			}
			return nil
		},
		back: func(ctx context.Context) error {
			defer c.Close()
			ctx, cancel := context.WithTimeoutCause(ctx, backWithin,
				fmt.Errorf("%s is not back within %s: does its supervisor start it again?", leader.Name, backWithin))
			defer cancel()
			for !a.whole(ctx, c, leader.Addr) {
				if err := pause(ctx, lookEvery); err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}

// whole tells whether the master at an address follows a leader closely again.
func (a *app) whole(ctx context.Context, c *client.Client, addr string) bool {
	v := a.clusterView(ctx, c)
	for _, m := range v.Masters {
		if m.status.GetLeader().GetGrpc() == addr && m.status.GetServing() || m.Address == addr && m.Reachable {
			return v.Leader != "" && m.Lag < closeBehind
		}
	}
	return false
}

// closeBehind entries is no distance under load.
const closeBehind = 1000
