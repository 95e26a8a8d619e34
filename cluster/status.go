package cluster

import (
	"time"

	"github.com/hashicorp/raft"
)

// Leader returns the present leader and a channel closed at the next change.
func (n *Node) Leader() (Leader, <-chan struct{}) { return n.leader.get() }

// ClusterID returns the cluster's id, "" before formation.
func (n *Node) ClusterID() string { return n.dir.Identity().ClusterID }

// Position says how fresh an answer is: term and index of the newest entry in
// the table. They never go back on one node, and compare between nodes.
type Position struct {
	Term, Index uint64
	Age         time.Duration // since the leader was last heard; 0 on the leader
}

// Position returns term, applied index and age now.
func (n *Node) Position() Position {
	var p Position
	n.table.mu.RLock()
	p.Index, p.Term, _ = n.table.m.Position()
	n.table.mu.RUnlock()
	p.Age = n.age()
	return p
}

// age is how long ago this node last heard the leader, 0 when it leads.
func (n *Node) age() time.Duration {
	m := n.member.Load()
	switch {
	case m == nil:
		return time.Since(n.started)
	case m.raft.State() == raft.Leader:
		return 0
	}
	last := m.raft.LastContact()
	if last.IsZero() {
		last = n.started
	}
	return time.Since(last)
}

// Status is what a node knows of itself.
type Status struct {
	ClusterID, Name, Version, Role    string // Role: leader, follower, candidate, isolated, forming, joining
	Term, Commit, Applied, Last, Snap uint64
	Serving                           bool
	FsyncP50, FsyncP99                time.Duration
	DiskFree, DiskTotal               uint64 // bytes of the data directory's file system; 0: unknown
	Tasks, Sessions, Queues           int
	Started                           time.Time
	Level                             uint32 // the table's feature level; fsm.Level is the binary's
	Alarms                            []string
	Counters                          map[string]uint64
}

// The alarms of a Status.
const (
	AlarmClockSkew = "CLOCK_SKEW" // the wall clock is off the masters' median
	AlarmDiskLow   = "DISK_LOW"   // submits are refused
	AlarmMemoryLow = "MEMORY_LOW" // the same, for want of memory
	AlarmSlowDisk  = "SLOW_DISK"  // writes take too long for the heartbeat
	AlarmDiverged  = "DIVERGED"   // masters' tables differ, and no majority agrees
)

// AllAlarms returns every alarm that there is.
func AllAlarms() []string {
	return []string{AlarmClockSkew, AlarmDiskLow, AlarmMemoryLow, AlarmSlowDisk, AlarmDiverged}
}

// The counters that stand for Commits.
const (
	CounterCommits    = "commits"
	CounterCommitTime = "commit_ns"
)

// Status returns the node's own view.
func (n *Node) Status() Status {
	store := n.store.Stats()
	leader, _ := n.leader.get()
	s := Status{
		ClusterID: n.ClusterID(), Name: n.cfg.Name, Version: n.cfg.Version, Role: n.entering(),
		Applied: n.applier.index.Load(), Serving: leader.Self,
		FsyncP50: store.FsyncP50, FsyncP99: store.FsyncP99, Started: n.started,
		Counters: n.engine.counters(),
	}
	commits := n.Commits()
	s.Counters[CounterCommits], s.Counters[CounterCommitTime] = commits.Count, uint64(commits.Sum*1e9)
	n.table.mu.RLock()
	s.Tasks, s.Sessions, s.Queues = n.table.m.Counts()
	s.Level = uint32(n.table.m.FeatureLevel())
	n.table.mu.RUnlock()
	if m := n.member.Load(); m != nil {
		s.Role = roles[m.raft.State()]
		s.Term, s.Commit, s.Last = m.raft.CurrentTerm(), m.raft.CommitIndex(), m.raft.LastIndex()
		s.Snap = newestSnapshot(m.raft).Index
		s.Counters["elections"] = m.gate.elected.Load()
		s.Counters["observed_death_failovers"] = m.failover.acted.Load()
		s.Counters["snapshots"] = m.snapshots.taken.Load()
		s.Counters["snapshots_installed"] = m.installs.installed.Load()
		s.Counters["snapshots_spared"] = m.installs.spared.Load()
		st := n.EventStats()
		s.Counters["events"] = st.Appended
		s.Counters["event_reads_compacted"] = st.Compacted
		s.Counters["event_segments_dropped"] = st.SegmentsFailed
	}
	if isolated, _ := n.isolated.get(); isolated {
		s.Role = "isolated"
	}
	space := n.disk.space.Load()
	s.DiskFree, s.DiskTotal = space.Free, space.Total
	s.Alarms = n.alarms()
	return s
}

var roles = map[raft.RaftState]string{
	raft.Follower: "follower", raft.Candidate: "candidate", raft.Leader: "leader", raft.Shutdown: "stopped",
}

func (n *Node) alarms() []string {
	var out []string
	if n.engine.clockSkewed() {
		out = append(out, AlarmClockSkew)
	}
	if n.disk.low.Load() {
		out = append(out, AlarmDiskLow)
	}
	if n.memory.low.Load() {
		out = append(out, AlarmMemoryLow)
	}
	if n.disk.slow.Load() {
		out = append(out, AlarmSlowDisk)
	}
	if n.tablesDiffer() {
		out = append(out, AlarmDiverged)
	}
	return out
}
