package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/taskraft/taskraft/cluster/cron"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

func setSchedule(s *fsmpb.SetSchedule) *fsmpb.Command {
	if s.Task == nil {
		s.Task = &fsmpb.TaskSpec{Queue: "q"}
	}
	return &fsmpb.Command{Principal: "client:t", Kind: &fsmpb.Command_SetSchedule{SetSchedule: s}}
}

// leaderless is a table that a leader looks at only now and then.
type leaderless struct {
	t     *testing.T
	m     *fsm.Machine
	index uint64
	fired []int64 // nominal times that made a task
}

func (l *leaderless) apply(now int64, c *fsmpb.Command) {
	l.t.Helper()
	l.index++
	a := l.m.Apply(l.index, 1, &fsm.Entry{Header: fsm.Header{Level: 1, Term: 1, Now: now}, Commands: []*fsmpb.Command{c}})
	for _, e := range a.Events {
		if e.Kind == fsm.TaskSubmitted {
			l.fired = append(l.fired, e.Task.Extra.FireTime)
		}
	}
	for _, o := range a.Results[0].Outcomes {
		if o != fsm.Accepted {
			l.t.Fatalf("what the leader proposed is answered %s", o)
		}
	}
}

// look is the leader's: it proposes until nothing is due.
func (l *leaderless) look(now int64) {
	l.t.Helper()
	for range 1000 {
		s := l.m.Schedule("s")
		rule, err := cron.Parse(s.Cron, s.TimeZone)
		if err != nil {
			l.t.Fatal(err)
		}
		items := fireItems(s, rule, now)
		if len(items) == 0 {
			return
		}
		l.apply(now, &fsmpb.Command{Kind: &fsmpb.Command_Fire{Fire: &fsmpb.Fire{Items: items}}})
	}
	l.t.Fatal("the leader has no end")
}

// TestMisfiresExactly compares what makes a task with the words of the policies,
// over outages of random length (S11).
func TestMisfiresExactly(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, rule := range []string{"* * * * *", "@every 7s", "*/5 * * * *", "0 * * * *", "@every 45s", "0 0 30 2 *"} {
		for _, policy := range []fsm.Misfire{fsm.MisfireLast, fsm.MisfireSkip, fsm.MisfireAll} {
			t.Run(fmt.Sprint(rule, " ", policy), func(t *testing.T) {
				now := time.Date(2026, 3, 28, 22, 0, 0, 0, time.UTC).UnixNano()
				l := &leaderless{t: t, m: fsm.New()}
				set := &fsmpb.SetSchedule{Schedule: "s", Cron: rule, TimeZone: "Europe/Berlin", Misfire: uint32(policy), MaxMisfires: 4}
				l.apply(now, setSchedule(set))
				parsed, err := cron.Parse(rule, "Europe/Berlin")
				if err != nil {
					t.Fatal(err)
				}
				var want []int64
				for range 60 {
					before := now
					now += int64(time.Duration(1+random.IntN(90)) * time.Second)
					if random.IntN(4) == 0 {
						now += int64(time.Duration(random.IntN(120)) * time.Minute)
					}
					want = append(want, byTheBook(parsed, policy, 4, before, now)...)
					l.look(now)
				}
				if !slices.Equal(want, l.fired) {
					t.Errorf("fired at\n%v, want\n%v", l.fired, want)
				}
			})
		}
	}
}

// byTheBook says which of the times that passed between two looks make a task.
func byTheBook(rule *cron.Rule, policy fsm.Misfire, most int, before, now int64) []int64 {
	var missed, onTime []int64
	for at, ok := rule.Next(time.Unix(0, before)); ok && at.UnixNano() <= now; at, ok = rule.Next(at) {
		if now-at.UnixNano() > fsm.MisfireAfter {
			missed = append(missed, at.UnixNano())
		} else {
			onTime = append(onTime, at.UnixNano())
		}
	}
	switch {
	case policy == fsm.MisfireAll:
		return append(missed[max(len(missed)-most, 0):], onTime...)
	case policy == fsm.MisfireLast && len(onTime) == 0:
		return missed[max(len(missed)-1, 0):]
	}
	return onTime
}

// fires returns the nominal times of all tasks of a schedule, sorted.
func (r *rig) fires(name string) (at []time.Time) {
	r.table.mu.RLock()
	defer r.table.mu.RUnlock()
	for t := range r.table.m.TasksBefore(0) {
		if t.Extra != nil && t.Extra.Schedule == name {
			at = append(at, time.Unix(0, t.Extra.FireTime).UTC())
		}
	}
	slices.Reverse(at)
	return at
}

// every returns times from the first one on, at most n.
func every(first time.Time, d time.Duration, n int) (out []time.Time) {
	for i := range n {
		out = append(out, first.Add(time.Duration(i)*d).UTC())
	}
	return out
}

// TestSchedulesFireThroughChangesOfLeader: each time once, whichever leads, and
// nothing is proposed in between.
func TestSchedulesFireThroughChangesOfLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		first := time.Now().Truncate(10 * time.Second).Add(10 * time.Second)
		if _, _, err := r.e.propose(t.Context(), setSchedule(&fsmpb.SetSchedule{Schedule: "s", Cron: "@every 10s"})); err != nil {
			t.Fatal(err)
		}
		for term := uint64(2); term < 6; term++ {
			time.Sleep(25 * time.Second)
			r.e.end(Leader{})
			time.Sleep(6 * time.Second)
			r.begin(term)
		}
		synctest.Wait()
		n := int(time.Since(first)/(10*time.Second)) + 1
		if diff := gocmp.Diff(every(first, 10*time.Second, n), r.fires("s")); diff != "" {
			t.Errorf("fire times (-want +got):\n%s", diff)
		}
		if entries := r.raft.count(); entries > n+2+5 { // the times, set and plan, the first entry of each term
			t.Errorf("%d entries for %d times", entries, n)
		}
		r.sameTables()
	})
}

// TestTwoLeadersFireOnce: what a deposed leader still has in flight, and what
// nobody knows the outcome of, is decided by the table.
func TestTwoLeadersFireOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		first := time.Now().Truncate(time.Second).Add(time.Second)
		if _, _, err := r.e.propose(t.Context(), setSchedule(&fsmpb.SetSchedule{Schedule: "s", Cron: "@every 1s"})); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			time.Sleep(2500 * time.Millisecond)
			r.raft.fail(ErrUncertain, true) // applied, though the leader is told that nobody knows
			time.Sleep(1500 * time.Millisecond)
			r.raft.fail(nil, false)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		got := r.fires("s")
		if diff := gocmp.Diff(every(first, time.Second, len(got)), got); diff != "" || len(got) < 20 {
			t.Errorf("%d fire times (-want +got):\n%s", len(got), diff)
		}
	})
}

// TestManySchedulesAtOnce: they share entries.
func TestManySchedulesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		const n = 1000
		for i := range n {
			if _, _, err := r.e.propose(t.Context(), setSchedule(&fsmpb.SetSchedule{Schedule: fmt.Sprint("s", i), Cron: "@hourly"})); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		before := r.raft.count()
		time.Sleep(time.Hour)
		synctest.Wait()
		if tasks, _, _ := r.table.m.Counts(); tasks != n {
			t.Errorf("%d tasks, want %d", tasks, n)
		}
		if entries := r.raft.count() - before; entries > 10 {
			t.Errorf("%d entries for %d schedules", entries, n)
		}
	})
}

// TestScheduleOfAnUnknownZone: a rule that this master cannot evaluate holds up
// no other one.
func TestScheduleOfAnUnknownZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		for name, zone := range map[string]string{"a": "Mars/Base", "b": "UTC"} {
			if _, _, err := r.e.propose(t.Context(), setSchedule(&fsmpb.SetSchedule{Schedule: name, Cron: "* * * * *", TimeZone: zone})); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3*time.Minute + 30*time.Second)
		if a, b := len(r.fires("a")), len(r.fires("b")); a != 0 || b != 3 {
			t.Errorf("%d and %d fire times, want 0 and 3", a, b)
		}
	})
}
