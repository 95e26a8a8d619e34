package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	// mostLag is how many entries behind the leader a healthy master may be.
	mostLag = 1000
	// mostOffset is how far a healthy master's clock may be off.
	mostOffset = 2 * time.Second
)

func (a *app) clusterHealthCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "health [flags]", short: "Say what is wrong with the cluster, one line for each finding",
		long: `Look at every master and worker, and print one line for each finding: a majority
with nothing to spare, masters that do not answer or lag, low or slow disks, clocks
that are off, tables that differ, workers that are away, an upgrade that is not
finished. A problem ends with code 1, no leader with code 7; notes alone end with 0.`,
		example: "  taskraft cluster health && next-master",
		rows:    a.dataRows(),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, a.health)
		},
	})
}

func (a *app) health(ctx context.Context, c *client.Client) error {
	view := a.clusterView(ctx, c)
	var members []*taskraftv1.Member
	var workers []*taskraftv1.Worker
	if view.Leader != "" {
		ctx, cancel := a.call(ctx)
		defer cancel()
		var err error
		if members, err = c.Members(ctx); err != nil {
			return err
		}
		if workers, err = c.Workers(ctx, false); err != nil {
			return err
		}
	}
	err := a.printFindings(healthOf(view, members, workers))
	if view.Leader == "" {
		return quietly(exitNoLeader)
	}
	return err
}

// healthOf judges what the masters say of themselves, what the leader says of them,
// and the workers.
func healthOf(v *clusterView, members []*taskraftv1.Member, workers []*taskraftv1.Worker) *findings {
	f := new(findings)
	f.quorum(v, members)
	for _, m := range v.Masters {
		if m.status != nil {
			f.master(m)
		}
	}
	f.members(v, members)
	for _, w := range workers {
		if w.GetState() == taskraftv1.WorkerState_WORKER_AWAY {
			f.add(problem, "workers", w.GetWorkerId(), "start it again, or wait: its tasks are requeued when its TTL of "+settings.ShortDuration(w.GetTtl().AsDuration())+" has passed",
				"is away with %s", plural(int(w.GetHeld()), "task"))
		}
	}
	f.Summary = fmt.Sprintf("%s, %s leads, %s", plural(len(v.Masters), "master"), v.Leader, plural(len(workers), "worker"))
	return f
}

// quorum looks at who answers, and how many more may fail.
func (f *findings) quorum(v *clusterView, members []*taskraftv1.Member) {
	answers := 0
	clusters := map[string]bool{}
	for _, m := range v.Masters {
		if m.status != nil {
			answers++
			clusters[m.status.GetClusterId()] = true
		}
	}
	if v.Leader == "" {
		f.add(problem, "quorum", "", "start masters until a majority of them runs, and read their logs", "no master leads: %d of %d answer", answers, len(v.Masters))
	}
	if len(clusters) > 1 {
		f.add(problem, "identity", "", "mend --masters", "the masters are of %d different clusters", len(clusters))
	}
	voters, up := 0, 0
	for _, m := range members {
		if m.GetVoter() {
			voters++
			if m.GetReachable() {
				up++
			}
		}
	}
	for _, m := range members {
		if m.GetReachable() {
			continue
		}
		spare := "no other may fail"
		if n := up - voters/2 - 1; n > 0 {
			spare = fmt.Sprintf("%d more may fail", n)
		}
		f.add(problem, "quorum", m.GetName(), "start it, or remove it from the cluster", "does not answer the leader: %s", spare)
	}
	for _, m := range v.Masters {
		known := slices.ContainsFunc(members, func(x *taskraftv1.Member) bool { return x.GetGrpc() == m.Address && !x.GetReachable() })
		if m.status == nil && !known {
			f.add(problem, "reachable", "", "start it, or leave it out of --masters", "%s does not answer: %s", m.Address, m.Error)
		}
	}
}

// master looks at what one master says of itself.
func (f *findings) master(m *masterView) {
	s := m.status
	who := s.GetName()
	if m.Lag > mostLag {
		f.add(problem, "lag", who, "wait; if that grows, look at its disk and its log", "is %d entries behind the leader", m.Lag)
	}
	switch s.GetRole() {
	case "isolated":
		f.add(problem, "isolated", who, "look at its disk", "has cut itself off: its disk hangs")
	case "forming", "joining":
		f.add(problem, "formed", who, "look at its log", "is not in the cluster yet: it is %s", s.GetRole())
	}
	for _, alarm := range s.GetAlarms() {
		switch alarm {
		case "DISK_LOW":
			f.add(problem, "disk_space", who, "free some", "has %s of %s free: it refuses submits", bytesText(s.GetDiskFree()), bytesText(s.GetDiskTotal()))
		case "MEMORY_LOW":
			f.add(problem, "memory", who, "taskraft queue list, to see what waits; purge it, or give the masters more memory", "has its memory nearly full: it refuses submits")
		case "SLOW_DISK":
			f.add(note, "disk_speed", who, "a faster disk, or a longer --raft-timing on every master", "takes %s for a durable write (p99)", show.Duration(s.GetFsyncP99().AsDuration()))
		case "CLOCK_SKEW":
			f.add(problem, "clock", who, "look at its time synchronization", "has a wall clock that is off the masters' median")
		case "DIVERGED":
			f.add(problem, "tables", who, "taskraft cluster digest; start the masters that are down, so that a majority can tell", "sees tables that differ, and no majority that agrees")
		default: // of a newer version
			f.add(problem, "alarm", who, "ask the version that it runs what that means", "raises %s, which this version does not know", alarm)
		}
	}
}

// members looks at what the leader says of the others, and at what they run.
func (f *findings) members(v *clusterView, members []*taskraftv1.Member) {
	var table uint32
	for _, m := range v.Masters {
		table = max(table, m.status.GetFeatureLevel())
	}
	versions := map[string][]string{}
	for _, m := range members {
		if off := m.GetClockOffset().AsDuration(); off.Abs() > mostOffset {
			f.add(problem, "clock", m.GetName(), "look at its time synchronization", "is %s off the leader's clock", show.Duration(off.Abs()))
		}
		if !m.GetVoter() {
			f.add(note, "membership", m.GetName(), "wait", "has no vote until it has caught up")
		}
		if m.GetReachable() {
			versions[m.GetVersion()] = append(versions[m.GetVersion()], m.GetName())
		}
	}
	if len(versions) > 1 {
		var texts []string
		for _, version := range sortedKeys(versions) {
			texts = append(texts, strings.Join(versions[version], ", ")+" "+version)
		}
		f.add(note, "versions", "", "finish the upgrade", "masters run different versions: %s", strings.Join(texts, "; "))
	} else if l := levelsOf(table, members); l.Possible > table {
		f.add(note, "level", "", "taskraft cluster finalize", "the table is at feature level %d, every master knows %d", table, l.Possible)
	}
}

// bytesText rounds down to whole MiB.
func bytesText(n uint64) string { return settings.FormatSize(int64(n >> 20 << 20)) }
