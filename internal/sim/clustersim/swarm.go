package clustersim

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// swarm is what a seed draws once: which families of faults there are, and how hard
// they hit.
type swarm struct {
	masters, submitters, workers int
	length                       time.Duration // of the faulty part
	think                        time.Duration // a submitter's pause between calls, at most

	latency, jitter time.Duration
	loss, late      float64
	stalls          float64 // of snapshots: their connection stands still for seconds, and no other
	callLost        float64 // calls, and answers, that are lost
	callTwice       float64 // calls that arrive twice
	pulls           float64 // of the workers
	sync            time.Duration
	snapshotBytes   int64
	snapshotAge     time.Duration
	tailBytes       int64
	trailing        uint64
	observedDeath   bool
	offset          time.Duration // of the masters' clocks, at most
	rates           float64       // 1: their clocks go at half to twice the rate of time

	faults []string      // kinds that are on
	pause  time.Duration // between faults, on average

	schedules bool
	programs  int // that use the SDK
}

func drawSwarm(r *rand.Rand) swarm {
	on := func() bool { return r.IntN(2) == 0 }
	rate := func(most float64) float64 {
		if !on() {
			return 0
		}
		return most * r.Float64()
	}
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(r.Int64N(int64(most-least)))
	}
	s := swarm{
		masters: 3, submitters: 2 + r.IntN(3), workers: 2 + r.IntN(4), length: between(60*time.Second, 300*time.Second),
		think: between(500*time.Millisecond, 6*time.Second), latency: between(50*time.Microsecond, 2*time.Millisecond),
		jitter: between(50*time.Microsecond, 3*time.Millisecond), callLost: rate(0.2), callTwice: rate(0.3), pulls: rate(0.8),
		sync: between(100*time.Microsecond, 3*time.Millisecond), snapshotBytes: 1 << (16 + r.IntN(5)), snapshotAge: between(2*time.Second, 60*time.Second),
		observedDeath: r.IntN(4) > 0, pause: between(2*time.Second, 15*time.Second),
	}
	switch r.IntN(10) {
	case 0:
		s.masters = 1
	case 1, 2:
		s.masters = 5
	}
	if on() {
		s.loss, s.late = 0.1*r.Float64()*r.Float64(), 0.01*r.Float64()
	}
	if r.IntN(4) == 0 {
		s.jitter = between(10*time.Millisecond, 100*time.Millisecond)
	}
	if r.IntN(4) == 0 {
		s.sync = between(10*time.Millisecond, 100*time.Millisecond)
	}
	if on() {
		s.tailBytes = r.Int64N(1 << 15)
	}
	if on() {
		s.offset = between(100*time.Millisecond, 300*time.Second)
	}
	for _, f := range faults {
		if on() && (s.masters > 1 || !f.between) {
			s.faults = append(s.faults, f.kind)
		}
	}
	s.schedules = on()
	if on() {
		s.rates = r.Float64()
	}
	if on() {
		s.programs = 1 + r.IntN(2)
	}
	s.stalls = rate(0.7)
	s.trailing = 1 << (3 + r.IntN(5))
	return s
}

func (s swarm) String() string {
	type plain swarm
	return fmt.Sprintf("%+v", plain(s))
}

func name(i int) string    { return fmt.Sprintf("n%d", i+1) }
func address(i int) string { return fmt.Sprintf("10.0.0.%d:7400", i+1) }

func apiAddress(i int) string     { return fmt.Sprintf("10.0.0.%d:7401", i+1) }
func programAddress(k int) string { return fmt.Sprintf("10.0.1.%d:1", k+1) }
