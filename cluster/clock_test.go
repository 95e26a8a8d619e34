package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// hands is a clock source that tests turn.
type hands struct {
	wall int64
	mono time.Duration
}

func (h *hands) source() source {
	return source{wall: func() int64 { return h.wall }, mono: func() time.Duration { return h.mono }}
}

func (h *hands) pass(d time.Duration) {
	h.wall += int64(d)
	h.mono += d
}

func seconds(n int64) int64 { return n * int64(time.Second) }

func TestClockBaseAtElection(t *testing.T) {
	const wall = 1_700_000_000
	const year = 365 * 24 * time.Hour
	for name, test := range map[string]struct {
		table int64 // seconds
		peers []time.Duration
		want  int64
	}{
		"the wall clock":                       {table: wall - 5, want: wall},
		"never before the table":               {table: wall + 500, want: wall + 500},
		"near the median: own wall":            {peers: []time.Duration{9 * time.Second, 9 * time.Second}, want: wall},
		"G01: ten years ahead of the others":   {peers: []time.Duration{-10 * year, -10 * year}, want: wall - int64(10*year/time.Second)},
		"G01: ten years behind the others":     {peers: []time.Duration{10 * year, 10 * year}, want: wall + int64(10*year/time.Second)},
		"one of the others is wrong":           {peers: []time.Duration{time.Second, 10 * year}, want: wall},
		"nobody reachable":                     {peers: nil, want: wall},
		"far from the median, table is beyond": {table: wall + 3600, peers: []time.Duration{-year, -year}, want: wall + 3600},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hands{wall: seconds(wall)}
			c := newClock(h.source())
			c.elect(seconds(test.table), test.peers)
			if got := c.now() / int64(time.Second); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestClockIgnoresStepsWithinATerm(t *testing.T) {
	h := &hands{wall: seconds(1000)}
	c := newClock(h.source())
	c.elect(0, nil)
	h.pass(10 * time.Second)
	for _, step := range []int64{seconds(-900), seconds(5000), seconds(1 << 30)} {
		h.wall += step
		if got := c.now(); got != seconds(1010) {
			t.Errorf("after a step of %d: %d", step, got)
		}
	}
}

func TestClockSlewsAtOnePercentAndNoFurther(t *testing.T) {
	for name, test := range map[string]struct {
		peers []time.Duration
		after time.Duration
		want  time.Duration // the clock's advance
	}{
		"ahead of us, on its way":  {[]time.Duration{time.Second, time.Second}, 10 * time.Second, 10*time.Second + 100*time.Millisecond},
		"ahead of us, there":       {[]time.Duration{time.Second, time.Second}, 300 * time.Second, 301 * time.Second},
		"behind us, on its way":    {[]time.Duration{-time.Second, -time.Second}, 10 * time.Second, 10*time.Second - 100*time.Millisecond},
		"behind us, there":         {[]time.Duration{-time.Second, -time.Second}, 300 * time.Second, 299 * time.Second},
		"two masters: the middle":  {[]time.Duration{time.Second}, 300 * time.Second, 300*time.Second + 500*time.Millisecond},
		"far away: still 1 %":      {[]time.Duration{time.Hour, time.Hour}, 100 * time.Second, 101 * time.Second},
		"in step":                  {[]time.Duration{0, 0}, 100 * time.Second, 100 * time.Second},
		"a single master's own":    {nil, 100 * time.Second, 100 * time.Second},
		"the minority is far away": {[]time.Duration{0, time.Hour}, 100 * time.Second, 100 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hands{wall: seconds(1000)}
			c := newClock(h.source())
			c.elect(0, nil)
			c.steer(test.peers)
			before := c.now()
			h.pass(test.after)
			if got := time.Duration(c.now() - before); got != test.want {
				t.Errorf("advanced by %v, want %v", got, test.want)
			}
		})
	}
}

func TestStampsOnlyGrow(t *testing.T) {
	h := &hands{wall: seconds(1000)}
	c := newClock(h.source())
	c.elect(0, nil)
	last := int64(0)
	for i := range 1000 {
		if i%100 == 50 {
			c.steer([]time.Duration{-time.Hour, -time.Hour})
		}
		if i%100 == 70 { // another term, the wall clock was set back
			h.wall -= seconds(3600)
			c.elect(last, nil)
		}
		if i%3 == 0 {
			h.pass(time.Microsecond)
		}
		s := c.stamp()
		if s <= last {
			t.Fatalf("stamp %d after %d", s, last)
		}
		if c.now() < s {
			t.Fatalf("now %d is before the stamp %d", c.now(), s)
		}
		last = s
	}
}

func TestClockSkewAlarm(t *testing.T) {
	h := &hands{wall: seconds(1000)}
	c := newClock(h.source())
	c.elect(0, nil)
	for _, test := range []struct {
		peers []time.Duration
		step  int64
		leads bool
		want  bool
	}{
		{nil, 0, true, false},
		{[]time.Duration{time.Second, 2 * time.Second}, 0, true, false},
		{[]time.Duration{3 * time.Second, 3 * time.Second}, 0, true, true},
		{[]time.Duration{-3 * time.Second, -3 * time.Second}, 0, false, true},
		{[]time.Duration{0, time.Hour}, 0, true, false}, // that one is alarmed
		{nil, seconds(60), true, true},                  // stepped: the table's time is off
		{nil, seconds(60), false, false},
	} {
		h.wall += test.step
		if got := c.skewed(test.peers, test.leads); got != test.want {
			t.Errorf("%+v: got %v", test, got)
		}
		h.wall -= test.step
	}
}

// After a full restart the log is applied only with the new term's first entry:
// what it stamped counts, though the wall clock has stepped back since.
func TestStampsOfALogThatIsReplayedCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := systemSource()
		src.wall = func() int64 { return time.Now().Add(-time.Hour).UnixNano() }
		r := newIdleRig(t, nil, src)
		defer r.close()
		delayed := submitTo("q", 1)
		delayed.GetSubmit().Tasks[0].Delay = int64(time.Minute)
		stamp := time.Now().UnixNano()
		r.raft.replay = func() {
			b, err := fsm.EncodeEntry(nil, &fsm.Entry{
				Header: fsm.Header{Level: 1, Term: 1, Now: stamp}, Commands: []*fsmpb.Command{delayed},
			})
			if err != nil {
				t.Error(err)
			}
			r.raft.apply(1, b)
		}
		began := time.Now()
		r.begin(2)
		h := hello("w", "b", 1, "q")
		h.TTL = time.Hour
		s := r.attach(h)
		r.submit("q", 1)
		r.complete(s, r.next(s).Assignments...)
		if b := r.next(s); len(b.Outcomes) != 1 || b.Outcomes[0].Outcome != fsm.Accepted {
			t.Errorf("got %+v", b)
		}
		b, err := s.Next(t.Context())
		if err != nil || len(b.Assignments) != 1 || time.Since(began) > time.Minute+time.Second {
			t.Errorf("got %+v, %v after %v, want the delayed task after 1m", b, err, time.Since(began))
		}
		r.noIdleWork()
		entries, _ := r.raft.since(0)
		if first, second := entries[0], entries[1]; first.Now >= stamp || second.Now <= stamp {
			t.Errorf("stamps %d and %d around the log's %d", first.Now, second.Now, stamp)
		}
	})
}
