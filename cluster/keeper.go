package cluster

import (
	"log/slog"
	"time"
)

// keep is the keeper: it watches the sessions' deadlines, the table's next due
// time and the clock, and after closing tells the streams where to go.
func (l *reign) keep() {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	steer := time.NewTicker(slewEvery)
	defer steer.Stop()
	spare := time.NewTimer(l.e.cfg.SessionTTL)
	defer spare.Stop()
	for {
		due.Reset(l.untilDue())
		select {
		case <-look.C:
			l.sweep()
		case <-due.C:
			l.work.ring()
		case <-l.due:
		case <-spare.C:
			l.endSpare()
		case <-steer.C:
			l.steer()
		case <-l.closed:
			l.farewell()
			return
		}
		l.lookAgain()
	}
}

// farewell waits a moment to learn where the leader is before the streams end.
func (l *reign) farewell() {
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	select {
	case <-l.told:
	case <-patience.C:
		l.announce(Leader{})
	case <-l.e.stopping:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.tell(Leader{}, ErrStopped)
	}
}

// untilDue is how long the keeper may sleep until a Tick has work.
func (l *reign) untilDue() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nextDue == 0 || l.ticking {
		return time.Hour // applied rings
	}
	if wait := l.tickWait(); wait > 0 {
		return wait
	}
	left := time.Duration(l.nextDue - l.e.clock.now())
	if left <= 0 {
		l.work.ring()
		return lookEvery // in case the proposer has no room
	}
	return min(left, time.Hour)
}

// steer follows the other masters' clocks.
func (l *reign) steer() {
	peers := l.e.r.PeerClocks()
	l.e.clock.steer(peers)
	skewed := l.e.clock.skewed(peers, true)
	if skewed != l.skewed {
		l.skewed = skewed
		l.e.log.Warn("clock skew", slog.Bool("skewed", skewed), slog.Duration("offset", medianOffset(peers)))
	}
}

// tickWait is how long Ticks are held back: a moment after an entry failed.
func (l *reign) tickWait() time.Duration { return l.tickFrom - l.e.mono() }

// endSpare ends the time, one TTL, in which attempts are spared whose timeouts
// fell due while nobody led: their workers had it to report.
func (l *reign) endSpare() {
	t := l.e.t
	t.mu.RLock()
	defer t.mu.RUnlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spares = 0
	l.nextDue = t.m.NextDue()
	l.due.ring()
}
