package clustersim

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// network is what lies between the masters. Connections keep the order of what is
// written, as TCP does: a packet that is lost comes late and holds up what follows.
// One lock guards all of it; no call but Read, Accept and Dial waits.
type network struct {
	mu    sync.Mutex
	rng   *rand.Rand
	hosts map[string]*host // by address
	links map[route]*link
	conns map[*conn]struct{}
}

// route is one direction between two hosts.
type route struct{ from, to *host }

// host is one process at an address.
type host struct {
	addr     string
	listener *listener // nil: dials are refused
	dark     bool      // without power: nothing comes back from it
	boot     int       // who was dialled by an earlier process is dialled no more
}

// link is how one direction is doing.
type link struct {
	base, jitter time.Duration
	loss         float64 // of packets
	late         float64 // of packets that take seconds
	stalls       float64 // of snapshots: seconds in which their connection stands still
	cut          bool    // nothing arrives, until it is mended
	reject       bool    // a firewall that resets and refuses
	clogged      time.Time
	pipes        map[*pipe]struct{} // that somebody reads, though their writer may be gone
}

const (
	// repeatAfter is when a lost packet is sent again, the first time.
	repeatAfter = 200 * time.Millisecond
	// installSnapshot begins what asks a master to take a snapshot (rpcInstallSnapshot
	// in the library's net_transport.go); the snapshot follows.
	installSnapshot = 2
)

func newNetwork(rng *rand.Rand, s swarm) *network {
	n := &network{rng: rng, hosts: map[string]*host{}, links: map[route]*link{}, conns: map[*conn]struct{}{}}
	for i := range s.masters {
		n.hosts[address(i)] = &host{addr: address(i)}
	}
	for _, a := range n.hosts {
		for _, b := range n.hosts {
			n.links[route{a, b}] = &link{base: s.latency, jitter: s.jitter, loss: s.loss, late: s.late, stalls: s.stalls, pipes: map[*pipe]struct{}{}}
		}
	}
	n.addPrograms(s)
	return n
}

// addPrograms adds what lies between the masters' APIs and the programs that use them.
// The masters' own links do not concern it.
func (n *network) addPrograms(s swarm) {
	for k := range s.programs {
		program := &host{addr: programAddress(k)}
		n.hosts[program.addr] = program
		for i := range s.masters {
			api := n.hosts[apiAddress(i)]
			if api == nil {
				api = &host{addr: apiAddress(i)}
				n.hosts[api.addr] = api
			}
			n.links[route{program, api}] = &link{base: s.latency, jitter: s.jitter, pipes: map[*pipe]struct{}{}}
			n.links[route{api, program}] = &link{base: s.latency, jitter: s.jitter, pipes: map[*pipe]struct{}{}}
		}
	}
}

// arrival returns when what is sent now arrives.
func (n *network) arrival(l *link) time.Time {
	d := l.base + time.Duration(n.rng.Int64N(int64(l.jitter)+1))
	for again := repeatAfter; n.rng.Float64() < l.loss && again < 4*time.Second; again *= 2 {
		d += again
	}
	if n.rng.Float64() < l.late {
		d += time.Second + time.Duration(n.rng.Int64N(int64(4*time.Second)))
	}
	at := time.Now().Add(d)
	if at.Before(l.clogged) {
		return l.clogged
	}
	return at
}

// change alters the link from one host to another. What was held up by a cut is
// sent again.
func (n *network) change(from, to *host, do func(l *link)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.links[route{from, to}]
	was := l.cut
	do(l)
	for c := range n.conns {
		if l.reject && c.local == from && c.remote == to {
			c.reset()
		}
	}
	for p := range l.pipes {
		if was && !l.cut {
			p.resend(time.Now().Add(time.Duration(n.rng.Int64N(int64(time.Second)))))
		}
	}
}

// listen opens the port of a host, for its process boot.
func (n *network) listen(h *host, boot int) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if h.listener != nil || h.boot != boot {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: syscall.EADDRINUSE}
	}
	h.listener = &listener{net: n, host: h, queue: make(chan *conn, 256), done: make(chan struct{})}
	return h.listener, nil
}

// dial connects two hosts; boot is the dialling process.
func (n *network) dial(ctx context.Context, from *host, boot int, addr string) (net.Conn, error) {
	n.mu.Lock()
	to := n.hosts[addr]
	there, back := n.links[route{from, to}], n.links[route{to, from}]
	trip := time.Until(n.arrival(there)) + time.Until(n.arrival(back))
	n.mu.Unlock()
	fail := func(err error) (net.Conn, error) { return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	t := time.NewTimer(trip)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return fail(ctx.Err())
	}
	n.mu.Lock()
	silent := there.cut || back.cut || to.dark || from.boot != boot
	if silent {
		n.mu.Unlock()
		<-ctx.Done()
		return fail(ctx.Err())
	}
	defer n.mu.Unlock()
	if there.reject || back.reject || to.listener == nil {
		return fail(syscall.ECONNREFUSED)
	}
	up, down := newPipe(n, there), newPipe(n, back)
	mine := &conn{net: n, local: from, remote: to, in: down, out: up}
	theirs := &conn{net: n, local: to, remote: from, in: up, out: down}
	select {
	case to.listener.queue <- theirs:
	default:
		return fail(syscall.ECONNREFUSED)
	}
	n.conns[mine], n.conns[theirs] = struct{}{}, struct{}{}
	return mine, nil
}

// end is the end of a host's process. Its kernel resets the connections, unless it
// is gone with it.
func (n *network) end(h *host, dark bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h.boot++
	h.dark = dark
	if h.listener != nil {
		h.listener.shut()
	}
	for c := range n.conns {
		if c.local != h {
			continue
		}
		c.in.shut()
		if !dark {
			c.out.finish(syscall.ECONNRESET)
		}
		delete(n.conns, c)
	}
}

// begin is the start of a host's next process: who still writes to the one before
// is told.
func (n *network) begin(h *host) (boot int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if h.dark {
		for c := range n.conns {
			if c.remote == h {
				c.in.finish(syscall.ECONNRESET)
			}
		}
	}
	h.dark = false
	return h.boot
}

// listener is a host's open port.
type listener struct {
	net   *network
	host  *host
	queue chan *conn
	done  chan struct{}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	if l.host.listener == l {
		l.shut()
	}
	return nil
}

// shut refuses who dials from now on, and who was not accepted; with net.mu held.
func (l *listener) shut() {
	l.host.listener = nil
	close(l.done)
	for {
		select {
		case c := <-l.queue:
			c.reset()
		default:
			return
		}
	}
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return addr(l.host.addr) }

type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }

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
