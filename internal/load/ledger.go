package load

import (
	"math/bits"
	"sync"
)

const (
	chunkTasks = 1 << 16
	chunkWords = chunkTasks / 64
)

// ledger keeps two bits per task id: acknowledged to a producer, and confirmed
// as completed to a worker. Ids are dense, so a chunk of 64 Ki tasks takes 16 KiB.
type ledger struct {
	mu         sync.Mutex
	chunks     map[uint64]*chunk
	open       int64 // acknowledged and not completed
	acked      uint64
	completed  uint64
	duplicates uint64
}

type chunk struct{ acked, completed [chunkWords]uint64 }

func (l *ledger) at(id uint64) (c *chunk, word int, bit uint64) {
	c = l.chunks[id/chunkTasks]
	if c == nil {
		c = new(chunk)
		l.chunks[id/chunkTasks] = c
	}
	return c, int(id % chunkTasks / 64), 1 << (id % 64)
}

// ack notes acknowledged ids.
func (l *ledger) ack(ids ...uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		c, w, bit := l.at(id)
		if c.acked[w]&bit != 0 {
			continue
		}
		c.acked[w] |= bit
		l.acked++
		if c.completed[w]&bit == 0 {
			l.open++
		}
	}
}

// complete notes a confirmed completion and tells whether it is the task's first.
func (l *ledger) complete(id uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, w, bit := l.at(id)
	if c.completed[w]&bit != 0 {
		l.duplicates++
		return false
	}
	c.completed[w] |= bit
	l.completed++
	if c.acked[w]&bit != 0 {
		l.open--
	}
	return true
}

// unfinished returns how many acknowledged tasks are not completed.
func (l *ledger) unfinished() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

func (l *ledger) totals() (acked, completed, duplicates uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked, l.completed, l.duplicates
}

// lost returns up to most acknowledged ids without a completion, and their number.
func (l *ledger) lost(most int) (some []uint64, count int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for base, c := range l.chunks {
		for w := range c.acked {
			left := c.acked[w] &^ c.completed[w]
			count += bits.OnesCount64(left)
			for ; left != 0 && len(some) < most; left &= left - 1 {
				some = append(some, base*chunkTasks+uint64(w*64+bits.TrailingZeros64(left)))
			}
		}
	}
	return some, count
}
