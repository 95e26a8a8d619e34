package metrics

import (
	"context"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
)

// Node is what is looked at.
type Node interface {
	Status() cluster.Status
	Position() cluster.Position
	Members(context.Context) []cluster.Member
	Read(context.Context, cluster.ReadOptions, func(*fsm.Machine)) (cluster.Position, error)
	Worked(func(*cluster.Worked))
	Commits() cluster.Histogram
	Now() int64
	EventStats() cluster.EventStats
}

// Handler answers /metrics for one node.
func Handler(n Node) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(&collector{n}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// collector makes all series of one scrape.
type collector struct{ node Node }

// Describe implements prometheus.Collector: the series depend on what there is.
func (*collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := sink{out}
	st := c.node.Status()
	s.build(st.Version)
	c.raft(s, &st)
	c.table(s)
	c.worked(s)
}

// sink makes series.
type sink struct{ out chan<- prometheus.Metric }

func desc(name, help string, labels []string) *prometheus.Desc {
	return prometheus.NewDesc("taskraft_"+name, help, labels, nil)
}

// labels are names and values in turn.
func split(labels []string) (names, values []string) {
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	return names, values
}

func (s sink) gauge(name, help string, v float64, labels ...string) {
	names, values := split(labels)
	s.out <- prometheus.MustNewConstMetric(desc(name, help, names), prometheus.GaugeValue, v, values...)
}

func (s sink) counter(name, help string, v float64, labels ...string) {
	names, values := split(labels)
	s.out <- prometheus.MustNewConstMetric(desc(name, help, names), prometheus.CounterValue, v, values...)
}

func (s sink) build(version string) {
	s.gauge("build_info", "Always 1 (node).", 1, "version", version, "goversion", runtime.Version())
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// raft tells how the node itself is.
func (c *collector) raft(s sink, st *cluster.Status) {
	for _, role := range []string{"leader", "follower", "candidate", "isolated", "forming"} {
		s.gauge("raft_role", "1 for the role of this master (node).", truth(st.Role == role), "role", role)
	}
	s.gauge("raft_serving", "1 on the leader whose first entry of the term is applied (node).", truth(st.Serving))
	s.gauge("raft_term", "Raft's term (node).", float64(st.Term))
	s.gauge("raft_commit_index", "Newest entry known to be on a majority (node).", float64(st.Commit))
	s.gauge("raft_applied_index", "Newest entry in this master's table (node).", float64(st.Applied))
	s.gauge("raft_last_index", "Newest entry in this master's log (node).", float64(st.Last))
	s.gauge("raft_snapshot_index", "Newest entry in a snapshot (node).", float64(st.Snap))
	s.gauge("raft_leader_age_seconds", "How long ago this master heard the leader; 0 on the leader (node).", c.node.Position().Age.Seconds())
	s.gauge("log_fsync_seconds", "Durations of the last 1,024 durable writes (node).", st.FsyncP50.Seconds(), "percentile", "50")
	s.gauge("log_fsync_seconds", "Durations of the last 1,024 durable writes (node).", st.FsyncP99.Seconds(), "percentile", "99")
	s.gauge("start_time_seconds", "When this master started, Unix time (node).", float64(st.Started.UnixNano())/1e9)
	for _, a := range cluster.AllAlarms() {
		s.gauge("alarm", "1 while the alarm is on (node).", truth(slices.Contains(st.Alarms, a)), "alarm", strings.ToLower(a))
	}
	s.gauge("disk_free_bytes", "Free space of the data directory's file system (node).", float64(st.DiskFree))
	s.gauge("feature_level", "What the table may hold of newer versions; taskraft cluster finalize raises it (node).", float64(st.Level))
	for name, n := range st.Counters {
		if name == cluster.CounterCommits || name == cluster.CounterCommitTime {
			continue // commit_seconds has them
		}
		s.counter(name+"_total", "How often: "+strings.ReplaceAll(name, "_", " ")+", since the start (node).", float64(n))
	}
	c.events(s)
	if st.Serving {
		c.members(s)
	}
	s.histogram("commit_seconds", "From proposing an entry to its being applied (leader).", c.node.Commits())
}

// events tells what this master keeps of what happened.
func (c *collector) events(s sink) {
	st := c.node.EventStats()
	s.gauge("event_oldest_index", "Oldest entry whose events this master keeps (node).", float64(st.Oldest))
	s.gauge("event_newest_index", "Newest entry whose events this master knows (node).", float64(st.Last))
	s.gauge("event_memory_bytes", "Events in memory (node).", float64(st.MemoryBytes))
	s.gauge("event_segment_bytes", "Segment files with events (node).", float64(st.SegmentBytes))
	s.gauge("event_watchers", "Readers of events (node).", float64(st.Streams))
}

// members tells how the leader sees the others.
func (c *collector) members(s sink) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, m := range c.node.Members(ctx) {
		s.gauge("member_reachable", "1 if the leader reaches the master (leader).", truth(m.Reachable), "member", m.Name)
		s.gauge("member_applied_index", "Newest entry in that master's table, as the leader knows (leader).", float64(m.AppliedIndex), "member", m.Name)
		s.gauge("member_clock_offset_seconds", "That master's clock minus the leader's (leader).", m.ClockOffset.Seconds(), "member", m.Name)
	}
}
