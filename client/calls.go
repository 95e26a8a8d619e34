package client

import (
	"context"
	"crypto/rand"
	"sync"
	"time"
)

const (
	// window is how far call numbers may run ahead of the oldest call under way:
	// the table remembers as many outcomes per client.
	window = 1024
	// idleLimit is the time without calls after which a new client id is taken:
	// the table forgets clients after an hour.
	idleLimit = 30 * time.Minute
)

// calls numbers mutating calls and knows below which number all are answered.
type calls struct {
	mu     sync.Mutex
	client []byte // 16 random bytes; replaced, never changed
	next   uint64
	acked  uint64              // every call below is over
	over   [window / 64]uint64 // a ring of bits for the numbers from acked on
	last   time.Time           // when a call last began
	room   chan struct{}       // closed when acked rises; nil when nobody waits
}

// number is one call's name in the table.
type number struct {
	client []byte
	seq    uint64
}

func (c *calls) init() { c.renew() }

func (c *calls) renew() {
	c.client = make([]byte, 16)
	rand.Read(c.client)
	c.next, c.acked, c.over = 1, 1, [window / 64]uint64{}
}

// begin takes the next number. It waits while the oldest call under way is a
// whole window behind.
func (c *calls) begin(ctx context.Context) (number, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.next-c.acked >= window {
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.mu.Unlock()
		select {
		case <-room:
			c.mu.Lock()
		case <-ctx.Done():
			c.mu.Lock()
			return number{}, context.Cause(ctx)
		}
	}
	now := time.Now()
	if c.next == c.acked && c.next > 1 && now.Sub(c.last) > idleLimit {
		c.renew()
	}
	c.last = now
	n := number{client: c.client, seq: c.next}
	c.next++
	return n, nil
}

// end notes that the call is over: answered, or given up for good.
func (c *calls) end(seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over[seq/64%(window/64)] |= 1 << (seq % 64)
	before := c.acked
	for c.acked < c.next {
		word, bit := &c.over[c.acked/64%(window/64)], uint64(1)<<(c.acked%64)
		if *word&bit == 0 {
			break
		}
		*word &^= bit
		c.acked++
	}
	if c.acked > before && c.room != nil {
		close(c.room)
		c.room = nil
	}
}

func (c *calls) ackedBelow() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acked
}
