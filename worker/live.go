package worker

import (
	"sync"
	"time"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	maxKeep  = 64 << 10 // bytes of one attempt's output; masters keep as much
	allKeep  = 16 << 20 // of all attempts' output
	minKeep  = 4 << 10
	maxChunk = 8 << 10

	chunkCost = 128 // counted for a chunk besides its data
	voiceCost = 512 // counted for an attempt besides its output

	// What is said between reports goes up at most every sayEvery, in messages of
	// sayBytes of output and sayCount states of progress.
	sayEvery = 100 * time.Millisecond
	sayBytes = 128 << 10
	sayCount = 500

	// The last output of an attempt goes up with its report, faster than the rest
	// as long as there is credit: it grows by creditRate, in bytes a second.
	maxCredit  = 2 << 20
	creditRate = 2 << 20

	// lastWords is how long the output of an attempt is kept when its outcome was
	// seen, and allLast how much of that: whoever follows the attempt may have to
	// hear it from another leader.
	lastWords = 10 * time.Second
	allLast   = 1 << 20
)

// live is what the worker's attempts say before they end. The order in which
// output goes up is fair: each attempt in its turn.
type live struct {
	keep, chunk int // bytes of one attempt's output, and of a chunk of it

	mu       sync.Mutex // after table.mu
	voices   map[uint64]*voice
	turns    []*voice // with something to send
	leaving  []*voice // their outcomes were seen; oldest first
	left     int      // bytes in leaving
	credit   int
	creditAt time.Time

	ready chan struct{} // holds a token when turns is not empty
}

func newLive(slots int) *live {
	keep := min(max(allKeep/slots, minKeep), maxKeep)
	return &live{
		keep: keep, chunk: min(maxChunk, keep/2), voices: make(map[uint64]*voice),
		credit: maxCredit, creditAt: time.Now(), ready: make(chan struct{}, 1),
	}
}

// want puts a voice into the turns. Called with mu held.
func (l *live) want(v *voice) {
	if !v.turn {
		v.turn = true
		l.turns = append(l.turns, v)
		l.ring()
	}
}

func (l *live) ring() {
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// restart has everything said again, on a new stream.
func (l *live) restart() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(time.Now())
	for _, v := range l.turns {
		v.turn = false
	}
	l.turns = nil
	for _, v := range l.leaving { // nobody can ask for it any longer than this
		l.again(v)
	}
	for _, v := range l.voices {
		l.again(v)
	}
}

func (l *live) again(v *voice) {
	if v.turn {
		return
	}
	v.sent, v.told, v.closed = v.next, false, false
	if len(v.chunks) > 0 {
		v.sent = v.chunks[0].GetOffset()
	}
	l.want(v)
}

// collect puts into m what there is to say.
func (l *live) collect(m *taskraftv1.WorkerMessage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(time.Now())
	left := sayBytes
	for n := len(l.turns); n > 0 && left > 0 && len(m.Progress) < sayCount; n-- {
		v := l.turns[0]
		l.turns = l.turns[1:]
		if v.latest != nil && !v.told {
			v.told = true
			m.Progress = append(m.Progress, v.latest)
		}
		var bytes int
		m.Output, bytes = v.output(m.GetOutput(), left)
		left -= bytes
		if v.unsaid() {
			l.turns = append(l.turns, v)
		} else {
			v.turn = false
		}
	}
	if len(l.turns) > 0 {
		l.ring()
	} else {
		l.turns = nil
	}
}

// last appends what an attempt that has ended did not say yet, and returns the
// bytes of it. Without credit its output is not told, only its end.
func (l *live) last(v *voice, out []*taskraftv1.OutputChunk) ([]*taskraftv1.OutputChunk, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.credit = min(l.credit+int(now.Sub(l.creditAt).Seconds()*creditRate), maxCredit)
	l.creditAt = now
	if unsent := min(v.next-v.sent, uint64(v.bytes)); l.credit < int(unsent) {
		v.sent = v.next
	}
	out, n := v.output(out, maxKeep)
	l.credit -= n
	return out, n
}

// end notes that an attempt writes no more.
func (l *live) end(v *voice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v.over = true
}

// settled notes that the outcome of an attempt was seen.
func (l *live) settled(v *voice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	v.until = now.Add(lastWords)
	l.leaving = append(l.leaving, v)
	l.left += v.bytes + voiceCost
	l.forget(now)
}

// forget lets go of the output whose time is over, or for which there is no room.
// Called with mu held.
func (l *live) forget(now time.Time) {
	n := 0
	for ; n < len(l.leaving) && (l.leaving[n].until.Before(now) || l.left > allLast); n++ {
		v := l.leaving[n]
		l.left -= v.bytes + voiceCost
		delete(l.voices, v.fence)
		v.chunks, v.bytes, v.sent, v.closed, v.told = nil, 0, v.next, true, true
	}
	if n > 0 {
		clear(l.leaving[:n])
		l.leaving = l.leaving[n:]
	}
}
