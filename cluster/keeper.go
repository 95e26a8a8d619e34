package cluster

import (
	"log/slog"
	"time"

	"github.com/taskraft/taskraft/fsm"
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
	for {
		due.Reset(l.untilDue())
		select {
		case <-look.C:
			l.sweep()
		case <-due.C:
			l.work.ring()
		case <-l.due:
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

// tickWait is how long Ticks are held back: one TTL while attempts live whose
// timeouts fell due without a leader, so that their workers get the time to
// report; and a moment after an entry failed.
func (l *reign) tickWait() time.Duration {
	until := l.tickFrom
	if len(l.spared) > 0 {
		until = max(until, l.spareTo)
	}
	return until - l.e.mono()
}

// spare notes the attempts whose timeouts fell due while nobody led.
func (l *reign) spare(m *fsm.Machine) {
	_, _, now := m.Position()
	if due := m.NextDue(); due == 0 || due > now {
		return
	}
	for s := range m.Sessions() {
		for t := range m.Held(s.ID) {
			if t.State == fsm.Running && t.Deadline <= now {
				if l.spared == nil {
					l.spared = make(map[uint64]struct{})
				}
				l.spared[t.Fence] = struct{}{}
			}
		}
	}
	l.spareTo = l.e.mono() + l.e.cfg.SessionTTL
}
