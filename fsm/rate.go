package fsm

import (
	"math"
	"math/bits"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// The rate limit of a queue is a bucket of tokens on the table's clock, kept as
// one time (GCRA): rateAt is when all tokens taken so far are earned, each after
// the one before. A start is allowed while that is at most burst−1 tokens ahead.

// rate is a rate limit ready for use; every is 0 when there is none.
type rate struct {
	every int64 // time that earns one token, rounded up: never too many
	ahead int64 // what burst−1 tokens earn
}

func rateOf(r *fsmpb.RateLimit) rate {
	if r == nil {
		return rate{}
	}
	tokens, period := int64(max(r.GetTokens(), 1)), max(r.GetPeriod(), 1)
	every := (period-1)/tokens + 1
	return rate{every: every, ahead: times(every, int64(max(r.GetBurst(), 1))-1)}
}

// tokens returns how many starts a queue's rate limit allows now.
func (m *Machine) tokens(l *line) int {
	left := addTime(m.now, l.rate.ahead) - max(l.rec.rateAt, m.now)
	if left < 0 {
		return 0
	}
	return int(min(left/l.rate.every+1, math.MaxInt32))
}

// takeToken pays for a start. When the bucket is empty, a tick tells when it no
// longer is: until then nothing else may happen that would look at the queue.
func (m *Machine) takeToken(l *line) {
	rec := m.editQueue(l)
	rec.rateAt = addTime(max(rec.rateAt, m.now), l.rate.every)
	m.setDry(l)
}

// setDry brings the queue's entry in the index of due names up to date.
func (m *Machine) setDry(l *line) {
	dry := int64(0)
	if l.rate.every != 0 && m.tokens(l) == 0 {
		dry = l.rec.rateAt - l.rate.ahead
	}
	if dry != l.rec.rateDry {
		m.setNameDue(dueToken, l.rec.name, l.rec.rateDry, dry)
		m.editQueue(l).rateDry = dry
	}
}

// refill announces that a queue has a token again.
func (m *Machine) refill(l *line) {
	m.budget--
	m.setNameDue(dueToken, l.rec.name, l.rec.rateDry, 0)
	m.editQueue(l).rateDry = 0
	m.emit(Event{Kind: QueueOpened, Name: l.rec.name})
}

// changeRate takes a new limit into use: whatever was ahead before, the bucket
// is at worst empty.
func (m *Machine) changeRate(l *line, r rate) {
	if r == l.rate {
		return
	}
	l.rate = r
	if r.every != 0 {
		m.editQueue(l).rateAt = min(l.rec.rateAt, addTime(addTime(m.now, r.ahead), r.every))
	}
	m.setDry(l)
}

// times multiplies two numbers ≥ 0 and stays within int64.
func times(a, b int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi != 0 || lo > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(lo)
}
