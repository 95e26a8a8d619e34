package transport

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Config is what a Port needs. Only Bind has no default.
type Config struct {
	// Bind is the listen address, host:port; port 0 picks one.
	Bind string
	// Advertise is where peers reach this port; default: the bound address.
	Advertise string
	// Boot is random per process start and tells a restart in place from the
	// process before; default: 128 random bits.
	Boot string
	// HandshakeTimeout bounds either side of a handshake; default 3 s.
	HandshakeTimeout time.Duration
	// OnRefused hears of every dial that a handshake ended, from the dialling
	// goroutine; it must not block. Reason Duplicate means: stop this node.
	OnRefused func(*RefusedError)
	// Beat is the time between Raft's heartbeats to a follower, a fifth of its
	// HeartbeatTimeout; 0 sends each when Raft asks for it.
	Beat time.Duration
	// OnFeed gets what other masters of the cluster send by Feed, one at a time from
	// each; b is its own. Default: it is dropped.
	OnFeed func(from Caller, b []byte)
	// Dial replaces net.Dialer's DialContext on "tcp"; tests put faults here.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Listen replaces net.Listen on "tcp"; a simulator has its own network.
	Listen func(addr string) (net.Listener, error)
	// Logger gets refusals at debug level; default: none.
	Logger *slog.Logger
}

// Peer is a master as a dialler knows it: server id (name/incarnation) and
// host:port. An empty ID asks whoever answers there, over an identify connection.
type Peer struct{ ID, Addr string }

func (p Peer) String() string {
	if p.ID == "" {
		return p.Addr
	}
	return p.ID + " at " + p.Addr
}

// Port is the Raft port of a master. Its methods may be called concurrently.
type Port struct {
	cfg      Config
	log      *slog.Logger
	handlers map[string]handler // frozen by Listen
	ctx      context.Context    // ends with Close
	cancel   context.CancelFunc
	wg       sync.WaitGroup // every goroutine of the port

	mu      sync.Mutex
	state   state
	bound   string // actual listen address, kept over Isolate
	ln      net.Listener
	cluster string
	server  string // empty: not adopted
	conns   map[*conn]struct{}
	links   map[Peer]*link
	raft    *Raft
}

type state uint8

const (
	stateNew state = iota
	stateOpen
	stateIsolated
	stateClosed
)

// New returns a port that does not listen yet.
func New(cfg Config) (*Port, error) {
	if _, _, err := net.SplitHostPort(cfg.Bind); err != nil {
		return nil, fmt.Errorf("raft bind address: %w", err)
	}
	if cfg.Boot == "" {
		cfg.Boot = rand.Text()
	}
	if cfg.HandshakeTimeout <= 0 {
		cfg.HandshakeTimeout = 3 * time.Second
	}
	if cfg.OnFeed == nil {
		cfg.OnFeed = func(Caller, []byte) {}
	}
	if cfg.OnRefused == nil {
		cfg.OnRefused = func(*RefusedError) {}
	}
	if cfg.Dial == nil {
		var d net.Dialer
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	if cfg.Listen == nil {
		cfg.Listen = func(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	for _, f := range []string{cfg.Boot, cfg.Advertise} {
		if len(f) > maxField {
			return nil, fmt.Errorf("%q is longer than %d bytes", f, maxField)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Port{
		cfg: cfg, log: cfg.Logger, handlers: map[string]handler{},
		ctx: ctx, cancel: cancel, bound: cfg.Bind,
		conns: map[*conn]struct{}{}, links: map[Peer]*link{},
	}, nil
}

// Listen binds and starts to serve.
func (p *Port) Listen() error { return p.open(stateNew) }

// Resume listens again after Isolate, at the same address.
func (p *Port) Resume() error { return p.open(stateIsolated) }

func (p *Port) open(from state) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == stateClosed {
		return ErrClosed
	}
	if p.state != from {
		return errors.New("the raft port listens already, or was never opened")
	}
	ln, err := p.cfg.Listen(p.bound)
	if err != nil {
		return err
	}
	p.ln, p.bound, p.state = ln, ln.Addr().String(), stateOpen
	if p.cfg.Advertise == "" {
		p.cfg.Advertise = p.bound
	}
	p.wg.Go(func() { p.accept(ln) })
	return nil
}

// Isolate closes the listener and then every connection in both directions, and
// lets no dial through until Resume. It does not wait for handlers, which may
// hang with the disk that this is for. Isolating twice is one isolation.
func (p *Port) Isolate() {
	if tr := p.shut(stateIsolated); tr != nil {
		tr.CloseStreams() // empties Raft's pool of connections that are closed now
	}
}

// Close ends everything and waits for all goroutines, handlers included. A
// second Close does nothing.
func (p *Port) Close() error {
	tr := p.shut(stateClosed)
	p.cancel()
	var err error
	if tr != nil {
		err = tr.Close()
	}
	p.wg.Wait()
	return err
}

// shut moves to a state without connections.
func (p *Port) shut(to state) *Raft {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == stateClosed || p.state == to || p.state == stateNew && to == stateIsolated {
		return nil
	}
	p.state = to
	if p.ln != nil {
		p.ln.Close() // first: who sees its connection end must be refused
		p.ln = nil
	}
	for c := range p.conns {
		c.Conn.Close()
	}
	clear(p.conns)
	clear(p.links) // their connections are among those closed
	return p.raft
}

// Adopt gives the port its identity, for good: from now on it answers raft, peer
// and watch connections of that cluster that call it by that id. Adopting the
// same identity again does nothing.
func (p *Port) Adopt(clusterID, serverID string) error {
	if clusterID == "" || serverID == "" || len(clusterID) > maxField || len(serverID) > maxField {
		return fmt.Errorf("cluster id %q and server id %q must have 1 to %d bytes", clusterID, serverID, maxField)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server != "" && (p.cluster != clusterID || p.server != serverID) {
		return fmt.Errorf("already %s of cluster %s", p.server, p.cluster)
	}
	p.cluster, p.server = clusterID, serverID
	return nil
}

// Identity returns what Adopt was given, empty before.
func (p *Port) Identity() (clusterID, serverID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cluster, p.server
}

// Addr returns the advertised host:port; it is final after Listen.
func (p *Port) Addr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cfg.Advertise
}

// Boot returns the boot id of this process.
func (p *Port) Boot() string { return p.cfg.Boot }

// ready returns why nothing may be sent now, or nil; p.mu is held.
func (p *Port) ready() error {
	switch p.state {
	case stateClosed:
		return ErrClosed
	case stateIsolated:
		return ErrIsolated
	}
	return nil
}

// spawn runs f as a goroutine that Close waits for, unless the port is closed.
func (p *Port) spawn(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == stateClosed {
		return false
	}
	p.wg.Go(f)
	return true
}
