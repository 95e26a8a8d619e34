package health

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/taskraft/taskraft/cluster"
)

const (
	// maxBehind is how many committed entries a ready master may still have to apply.
	maxBehind = 1000
	// maxAge is how long ago a ready follower heard the leader, at most.
	maxAge = 3 * time.Second
)

// Node is what the checks look at.
type Node interface {
	Status() cluster.Status
	Position() cluster.Position
	Leader() (cluster.Leader, <-chan struct{})
}

// Checks answers for one node.
type Checks struct{ node Node }

// New returns the checks of a node.
func New(n Node) *Checks { return &Checks{node: n} }

// Live answers 200 as long as the process serves at all: it needs no quorum, so
// that nobody restarts masters because others are gone.
func (c *Checks) Live(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(`{"live":true}` + "\n")) // the client is gone: nobody to tell
}

// Check is one condition of readiness.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"` // why not; or a warning
}

// Report is the answer of /readyz.
type Report struct {
	Ready  bool    `json:"ready"`
	Name   string  `json:"name"`
	Role   string  `json:"role"`
	Checks []Check `json:"checks"`
}

// Ready answers 200 if every check holds, else 503.
func (c *Checks) Ready(w http.ResponseWriter, _ *http.Request) {
	r := c.Report()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !r.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(r) // the client is gone: nobody to tell
}

// Report makes every check.
func (c *Checks) Report() Report {
	st, pos := c.node.Status(), c.node.Position()
	leader, _ := c.node.Leader()
	r := Report{Ready: true, Name: st.Name, Role: st.Role}
	check := func(name string, ok bool, format string, args ...any) {
		x := Check{Name: name, OK: ok}
		if !ok {
			x.Reason = fmt.Sprintf(format, args...)
			r.Ready = false
		}
		r.Checks = append(r.Checks, x)
	}
	check("formed", st.ClusterID != "", "not yet a member of a cluster")
	check("leader", leader.Name != "", "no leader is known: a majority of the masters is needed")
	check("caught_up", st.Commit <= st.Applied+maxBehind, "%d entries are still to be applied", st.Commit-min(st.Applied, st.Commit))
	check("fresh", pos.Age <= maxAge && pos.Term == st.Term, "the leader of term %d was heard %s ago, the table is of term %d", st.Term, pos.Age.Round(time.Millisecond), pos.Term)
	check("disk_space", !slices.Contains(st.Alarms, cluster.AlarmDiskLow), "free space is low: submits are refused")
	r.warn(st.Alarms)
	return r
}

// warn adds what does not make a master unready, but somebody should see.
func (r *Report) warn(alarms []string) {
	for _, x := range []struct{ alarm, name, reason string }{
		{cluster.AlarmSlowDisk, "disk_speed", "writes take too long for the heartbeat"},
		{cluster.AlarmMemoryLow, "memory", "memory is nearly full: submits are refused"},
		{cluster.AlarmClockSkew, "clock", "the wall clock is off the masters' median"},
		{cluster.AlarmDiverged, "tables", "the masters' tables differ, and no majority agrees: compare them with cluster digest"},
	} {
		c := Check{Name: x.name, OK: true}
		if slices.Contains(alarms, x.alarm) {
			c.Reason = "warning: " + x.reason
		}
		r.Checks = append(r.Checks, c)
	}
}
