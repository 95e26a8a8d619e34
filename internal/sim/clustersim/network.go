package clustersim

import (
	"context"
	"math/rand/v2"
	"net"
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
