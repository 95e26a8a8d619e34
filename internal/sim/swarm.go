package sim

import (
	"math/rand/v2"
	"time"
)

const (
	millisecond = int64(time.Millisecond)
	second      = int64(time.Second)
	minute      = 60 * second
	hour        = 60 * minute

	// epoch is the true time at the beginning of every world.
	epoch = int64(1_806_195_580) * second // 2027-03-28 00:59:40 UTC; see springGap
)

// swarm is what a seed draws once: which faults there are, and how often.
type swarm struct {
	workers, clients int
	length           int64 // of the faulty part

	loss, twice    float64 // of messages
	delay          int64   // longest ordinary delay of a message
	late           float64 // messages that take seconds
	leaderDies     int64   // on average after; 0: never
	workerDies     int64
	workerFreezes  int64
	clockJumps     bool
	snapshots      float64 // of entries: the table is written and read again
	lazyAssign     float64 // of free sessions: not assigned in this entry
	zombies        float64 // of reports: said again later, or otherwise
	limits, labels bool
	pulls          float64 // of workers
	shortTimeouts  bool
	cancels        float64 // of clients' acts
	smallRetention bool
	schedules      bool
	rules          uint32 // the policies that most schedules of this world have
	unique         bool
	batches        bool
	parents        bool
	bulk           float64 // of clients' acts: sweeps and bulk retries
	operators      float64 // the same: drains and removals of workers
	weights        bool    // of the queues that a session serves
	ageing         bool
	broadcasts     bool
}

func drawSwarm(r *rand.Rand) swarm {
	on := func() bool { return r.IntN(2) == 0 }
	rate := func(most float64) float64 {
		if !on() {
			return 0
		}
		return most * r.Float64()
	}
	every := func(least, most int64) int64 {
		if !on() {
			return 0
		}
		return least + r.Int64N(most-least)
	}
	return swarm{
		workers: 2 + r.IntN(6), clients: 1 + r.IntN(3), length: (10 + r.Int64N(40)) * second,
		loss: rate(0.3), twice: rate(0.5), delay: (1 + r.Int64N(200)) * millisecond, late: rate(0.1),
		leaderDies: every(3*second, 40*second), workerDies: every(3*second, 40*second),
		workerFreezes: every(5*second, 40*second), clockJumps: r.IntN(4) == 0,
		snapshots: rate(0.04), lazyAssign: rate(0.8), zombies: rate(0.5),
		limits: on(), labels: on(), pulls: rate(1), shortTimeouts: on(), cancels: rate(0.4),
		smallRetention: on(), schedules: on(), rules: r.Uint32N(9), unique: on(), batches: on(), parents: on(),
		bulk: rate(0.15), operators: rate(0.1), weights: on(), ageing: on(), broadcasts: on(),
	}
}

// crowdEvery is how often a seed has thousands of workers, for a short time.
const crowdEvery = 500

func (s *swarm) crowd(r *rand.Rand) {
	s.workers, s.length = 1000+r.IntN(2000), 4*second
	s.broadcasts = false // to thousands: a model that looks at every task is slow
}
