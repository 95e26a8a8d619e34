package cli

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// TestHealthFindings has one fault at a time in a healthy cluster of three.
func TestHealthFindings(t *testing.T) {
	type S = taskraftv1.GetStatusResponse
	type M = taskraftv1.Member
	for name, c := range map[string]struct {
		damage  func(v *clusterView, ms []*M, w *taskraftv1.Worker)
		want    string // of the first line
		healthy bool
	}{
		"nothing":     {func(*clusterView, []*M, *taskraftv1.Worker) {}, "healthy: 3 masters, n1 leads, 1 worker", true},
		"a dead one":  {func(v *clusterView, ms []*M, _ *taskraftv1.Worker) { kill(v, ms, 2) }, "problem  quorum: n3 does not answer the leader: no other may fail", false},
		"no leader":   {func(v *clusterView, _ []*M, _ *taskraftv1.Worker) { v.Leader = "" }, "problem  quorum: no master leads: 3 of 3 answer", false},
		"lag":         {func(v *clusterView, _ []*M, _ *taskraftv1.Worker) { v.Masters[1].Lag = 5000 }, "problem  lag: n2 is 5000 entries", false},
		"low disk":    {alarmed("DISK_LOW"), "problem  disk_space: n2 has 100MiB of 10GiB free", false},
		"low memory":  {alarmed("MEMORY_LOW"), "problem  memory: n2", false},
		"slow disk":   {alarmed("SLOW_DISK"), "note  disk_speed: n2 takes 2s", true},
		"skew":        {alarmed("CLOCK_SKEW"), "problem  clock: n2", false},
		"diverged":    {alarmed("DIVERGED"), "problem  tables: n2 sees tables that differ", false},
		"new alarm":   {alarmed("ON_FIRE"), "problem  alarm: n2 raises ON_FIRE", false},
		"isolated":    {func(v *clusterView, _ []*M, _ *taskraftv1.Worker) { v.Masters[1].status.Role = "isolated" }, "problem  isolated: n2", false},
		"clock":       {func(_ *clusterView, ms []*M, _ *taskraftv1.Worker) { ms[1].ClockOffset = durationpb.New(-time.Minute) }, "problem  clock: n2 is 1m", false},
		"other":       {func(v *clusterView, _ []*M, _ *taskraftv1.Worker) { v.Masters[1].status.ClusterId = "b" }, "problem  identity: the masters are of 2", false},
		"away":        {func(_ *clusterView, _ []*M, w *taskraftv1.Worker) { w.State = taskraftv1.WorkerState_WORKER_AWAY }, "problem  workers: w1 is away with 2 tasks", false},
		"no vote":     {func(_ *clusterView, ms []*M, _ *taskraftv1.Worker) { ms[2].Voter = false }, "note  membership: n3 has no vote", true},
		"versions":    {func(_ *clusterView, ms []*M, _ *taskraftv1.Worker) { ms[2].Version = "v2" }, "note  versions: masters run different versions: n1, n2 v1; n3 v2", true},
		"not raised":  {func(_ *clusterView, ms []*M, _ *taskraftv1.Worker) { level(ms, 2) }, "note  level: the table is at feature level 1, every master knows 2", true},
		"half raised": {func(_ *clusterView, ms []*M, _ *taskraftv1.Worker) { level(ms[:2], 2) }, "healthy", true},
	} {
		t.Run(name, func(t *testing.T) {
			v := &clusterView{Leader: "n1"}
			var ms []*M
			for _, n := range []string{"n1", "n2", "n3"} {
				v.Masters = append(v.Masters, &masterView{Address: n + ":1", Reachable: true, status: &S{
					Name: n, ClusterId: "a", Role: "follower", FeatureLevel: 1, NewestFeatureLevel: 1,
					DiskFree: 100 << 20, DiskTotal: 10 << 30, FsyncP99: durationpb.New(2 * time.Second),
				}})
				ms = append(ms, &M{Name: n, Grpc: n + ":1", Voter: true, Reachable: true, Version: "v1", FeatureLevel: 1})
			}
			w := &taskraftv1.Worker{WorkerId: "w1", State: taskraftv1.WorkerState_WORKER_ONLINE, Held: 2, Ttl: durationpb.New(10 * time.Second)}
			c.damage(v, ms, w)
			var out strings.Builder
			a := &app{IO: IO{Out: &out}}
			a.config.output = "table"
			err := a.printFindings(healthOf(v, ms, []*taskraftv1.Worker{w}))
			if (err == nil) != c.healthy || !strings.HasPrefix(out.String(), c.want) {
				t.Errorf("ended with %v, want %q first in:\n%s", err, c.want, out.String())
			}
		})
	}
}

func kill(v *clusterView, ms []*taskraftv1.Member, i int) {
	v.Masters[i].status, v.Masters[i].Reachable, v.Masters[i].Error = nil, false, "connection refused"
	ms[i].Reachable = false
}

func level(ms []*taskraftv1.Member, n uint32) {
	for _, m := range ms {
		m.FeatureLevel = n
	}
}

func alarmed(alarm string) func(*clusterView, []*taskraftv1.Member, *taskraftv1.Worker) {
	return func(v *clusterView, _ []*taskraftv1.Member, _ *taskraftv1.Worker) {
		v.Masters[1].status.Alarms = []string{alarm}
	}
}
