package worker

import (
	"sync"
	"time"
)

const leashSlack = 500 * time.Millisecond // for a handler to end

// leash is how long the masters' word carries. A master gives a silent worker's
// tasks to others when it has heard no heartbeat for a TTL; it heard the last one
// that it has answered no earlier than that was sent. Attempts that fence
// themselves end a little before: 1 % of the TTL is for clocks of unequal speed.
type leash struct {
	cut func() // ends these attempts

	mu    sync.Mutex
	ttl   time.Duration
	heard time.Time   // when the newest heartbeat that was answered was sent
	sent  []time.Time // of the heartbeats of the present stream, by number, from first on
	first uint64
	timer *time.Timer
}

// attached begins anew with a stream whose attach was sent then and was answered.
func (l *leash) attached(sent time.Time, ttl time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent, l.first, l.ttl = l.sent[:0], 1, ttl
	l.extend(sent)
}

// beat notes that the next heartbeat of the stream is about to be sent.
func (l *leash) beat() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, time.Now())
}

// answered takes the answer to a heartbeat, and those before it.
func (l *leash) answered(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := seq - l.first
	if seq < l.first || n >= uint64(len(l.sent)) {
		return // it says nothing about a heartbeat of this stream
	}
	l.extend(l.sent[n])
	l.sent = append(l.sent[:0], l.sent[n+1:]...)
	l.first = seq + 1
}

// extend moves the end. Called with mu held.
func (l *leash) extend(sent time.Time) {
	if l.ttl <= 0 || sent.Before(l.heard) {
		return
	}
	l.heard = sent
	left := time.Until(l.end())
	if l.timer == nil {
		l.timer = time.AfterFunc(left, l.ended)
		return
	}
	l.timer.Reset(left)
}

// end is when attempts must have ended. Called with mu held.
func (l *leash) end() time.Time { return l.heard.Add(l.ttl*99/100 - leashSlack) }

// ended ends what must end, unless an answer came just now.
func (l *leash) ended() {
	if l.over() {
		l.cut()
	}
}

// over reports whether the masters' word has run out.
func (l *leash) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.timer != nil && !time.Now().Before(l.end())
}

// stop ends the timer.
func (l *leash) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
}
