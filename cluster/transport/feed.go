package transport

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"time"
)

// MaxFeed is the longest message of a feed, in bytes.
const MaxFeed = 1 << 20

// feedPatience is how long Send may wait for a peer that does not read.
const feedPatience = time.Millisecond

// Feed is a one-way connection to another master, for messages that may be lost
// but must not wait.
type Feed struct{ c *conn }

// Feed connects to a peer, whose OnFeed gets what is sent.
func (p *Port) Feed(ctx context.Context, to Peer) (*Feed, error) {
	c, _, err := p.dial(ctx, KindFeed, to)
	if err != nil {
		return nil, err
	}
	return &Feed{c}, nil
}

// feedHead leads a message: its length, big-endian.
const feedHead = 4

// BeginFeed returns b emptied, with room for the head of a message.
func BeginFeed(b []byte) []byte { return append(b[:0], make([]byte, feedHead)...) }

// Send sends the message behind the head in b, which BeginFeed began: at most
// MaxFeed bytes. It does not wait for a peer that does not read; after an error the
// feed is closed. One goroutine calls it.
func (f *Feed) Send(b []byte) error {
	binary.BigEndian.PutUint32(b, uint32(len(b)-feedHead))
	err := f.c.SetWriteDeadline(time.Now().Add(feedPatience))
	if err == nil {
		_, err = f.c.Write(b)
	}
	if err != nil {
		f.Close() // half a message may be out
	}
	return err
}

// Close ends the feed.
func (f *Feed) Close() { f.c.Close() }

// serveFeed takes what a peer feeds until the connection ends.
func (p *Port) serveFeed(c *conn) {
	r := bufio.NewReaderSize(c, 64<<10)
	for {
		var head [feedHead]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(head[:])
		if n > MaxFeed {
			return
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return
		}
		p.cfg.OnFeed(c.peer, b)
	}
}
