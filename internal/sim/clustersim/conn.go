package clustersim

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// conn is one end of a connection.
type conn struct {
	net           *network
	local, remote *host
	in, out       *pipe
}

var _ net.Conn = (*conn)(nil)

// reset ends both directions at both ends; with net.mu held.
func (c *conn) reset() {
	c.in.finish(syscall.ECONNRESET)
	c.out.finish(syscall.ECONNRESET)
	c.in.hasten()
	c.out.hasten()
	delete(c.net.conns, c)
}

func (c *conn) Read(b []byte) (int, error) { return c.in.read(b) }

func (c *conn) Write(b []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	switch {
	case c.in.closed:
		return 0, net.ErrClosed
	case c.out.ended || c.out.closed && !c.out.link.cut && !c.remote.dark:
		c.in.reset() // whoever reads learns it, too, or gRPC would try a dead connection for ever
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	}
	c.out.send(chunk{b: append([]byte(nil), b...)})
	return len(b), nil
}

// Close implements net.Conn: the other end reads what was sent, and then the end.
func (c *conn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.in.closed {
		return net.ErrClosed
	}
	c.in.shut()
	c.out.finish(io.EOF)
	delete(c.net.conns, c)
	return nil
}

func (c *conn) LocalAddr() net.Addr                { return addr(c.local.addr) }
func (c *conn) RemoteAddr() net.Addr               { return addr(c.remote.addr) }
func (c *conn) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *conn) SetWriteDeadline(_ time.Time) error { return nil }

func (c *conn) SetReadDeadline(t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.in.deadline = t
	c.in.ring()
	return nil
}

// pipe is one direction of a connection; net.mu guards it.
type pipe struct {
	net      *network
	link     *link
	queue    []chunk
	bell     chan struct{}
	deadline time.Time
	ended    bool // the last chunk is the end
	closed   bool // nobody reads any more
	snapshot bool // one is sent
	broken   bool // this end knows that the connection was reset
}

// chunk is what was written by one call, or the end.
type chunk struct {
	at  time.Time
	b   []byte
	end error
}

// newPipe opens one; with net.mu held.
func newPipe(n *network, l *link) *pipe {
	p := &pipe{net: n, link: l, bell: make(chan struct{}, 1)}
	l.pipes[p] = struct{}{}
	return p
}

func (p *pipe) ring() {
	select {
	case p.bell <- struct{}{}:
	default:
	}
}

func (p *pipe) send(c chunk) {
	c.at = p.net.arrival(p.link)
	p.snapshot = p.snapshot || len(c.b) > 0 && c.b[0] == installSnapshot
	if p.snapshot && p.net.rng.Float64() < p.link.stalls {
		c.at = c.at.Add(2*time.Second + time.Duration(p.net.rng.Int64N(int64(8*time.Second))))
	}
	if n := len(p.queue); n > 0 && c.at.Before(p.queue[n-1].at) {
		c.at = p.queue[n-1].at
	}
	if p.queue = append(p.queue, c); len(p.queue) == 1 {
		p.ring()
	}
}

// finish sends the end behind what was sent.
func (p *pipe) finish(err error) {
	if !p.ended {
		p.ended = true
		p.send(chunk{end: err})
	}
}

// shut is the end of reading.
func (p *pipe) shut() {
	p.closed, p.queue = true, nil
	delete(p.link.pipes, p)
	p.ring()
}

// reset tells whoever reads that the connection is gone, whatever the link does.
func (p *pipe) reset() {
	p.broken = true
	p.ring()
}

// resend moves what was held up to the time at which it is sent again.
func (p *pipe) resend(at time.Time) {
	for i := range p.queue {
		if p.queue[i].at.Before(at) {
			p.queue[i].at = at
		}
	}
	p.ring()
}

// hasten lets the end overtake what was sent.
func (p *pipe) hasten() {
	if n := len(p.queue); n > 0 {
		p.queue = p.queue[n-1:]
		p.queue[0].at = time.Now()
	}
	p.ring()
}

func (p *pipe) read(b []byte) (int, error) {
	for {
		n, wait, err := p.take(b)
		if n > 0 || err != nil {
			return n, err
		}
		if wait == 0 {
			<-p.bell
			continue
		}
		t := time.NewTimer(wait)
		select {
		case <-p.bell:
		case <-t.C:
		}
		t.Stop()
	}
}

// take reads what has arrived, or says how long to wait, 0: for the bell.
func (p *pipe) take(b []byte) (n int, wait time.Duration, err error) {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	now := time.Now()
	switch {
	case p.closed:
		return 0, 0, net.ErrClosed
	case p.broken:
		return 0, 0, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	case !p.deadline.IsZero() && !now.Before(p.deadline):
		return 0, 0, os.ErrDeadlineExceeded
	}
	for n < len(b) && len(p.queue) > 0 && !p.held() && !now.Before(p.queue[0].at) {
		c := &p.queue[0]
		if c.end != nil {
			if n == 0 {
				return 0, 0, c.end
			}
			return n, 0, nil
		}
		k := copy(b[n:], c.b)
		n, c.b = n+k, c.b[k:]
		if len(c.b) == 0 {
			p.queue = p.queue[1:]
		}
	}
	if len(p.queue) > 0 && !p.held() {
		wait = max(p.queue[0].at.Sub(now), 1)
	}
	if !p.deadline.IsZero() && (wait == 0 || p.deadline.Sub(now) < wait) {
		wait = p.deadline.Sub(now)
	}
	return n, wait, nil
}

// held reports whether the link lets nothing arrive. A reset by this host's own side
// needs no link.
func (p *pipe) held() bool { return p.link.cut }
