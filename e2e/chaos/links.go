package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

// links are the connections between masters. Each master is dialled through a
// proxy, which learns from the first frame who calls, so that a link can be cut or
// slowed, also in one direction, without closing a connection: what is under way then
// waits, as in a network that drops packets. Clients on the side are held by their
// own end of a connection.
type links struct {
	mu        sync.Mutex
	changed   *sync.Cond
	blocked   map[link]bool
	delay     time.Duration // between masters
	loss      float64       // this share has to be sent again
	closed    bool
	closing   chan struct{} // closed with it
	listeners []net.Listener
	masters   map[string]string // by gRPC address
}

// link is one direction.
type link struct{ from, to string }

// resent is how long what was lost takes until it is sent again.
const resent = 200 * time.Millisecond

func newLinks() *links {
	l := &links{blocked: make(map[link]bool), closing: make(chan struct{}), masters: make(map[string]string)}
	l.changed = sync.NewCond(&l.mu)
	return l
}

func (l *links) name() string { return "proxies" }

func (l *links) home(string) *os.File { return nil }

func (l *links) place(m *proc.Master) error {
	ports, err := proc.FreePorts(1)
	if err != nil {
		return err
	}
	m.Bind = fmt.Sprintf("127.0.0.1:%d", ports[0])
	l.masters[m.GRPC] = m.Name
	return l.proxy(m.Name, m.Raft, m.Bind)
}

func (l *links) block(from, to []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range from {
		for _, b := range to {
			l.blocked[link{a, b}] = true
		}
	}
	return nil
}

func (l *links) slow(delay time.Duration, loss float64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay, l.loss = delay, loss
	return nil
}

func (l *links) heal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.blocked)
	l.delay, l.loss = 0, 0
	l.changed.Broadcast()
	return nil
}

func (l *links) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	close(l.closing)
	l.changed.Broadcast()
	for _, one := range l.listeners {
		one.Close()
	}
	return nil
}

// proxy listens where others dial a master and passes on to where it listens.
func (l *links) proxy(name, at, to string) error {
	listener, err := net.Listen("tcp", at)
	if err != nil {
		return fmt.Errorf("proxy of %s: %w", name, err)
	}
	l.listeners = append(l.listeners, listener)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go l.serve(conn, name, to)
		}
	}()
	return nil
}

// The first frame: magic, version, kind, length of the body, and then fields with
// a byte of length each: cluster, caller …
const helloHead = 8

func (l *links) serve(down net.Conn, callee, to string) {
	defer down.Close()
	first := make([]byte, 4096)
	n, err := io.ReadAtLeast(down, first, helloHead)
	if err != nil {
		return
	}
	caller := callerOf(first[:n])
	if !l.pass(caller, callee) || !l.pass(callee, caller) {
		return
	}
	up, err := net.Dial("tcp", to)
	if err != nil {
		return // refused there, and closed here at once
	}
	defer up.Close()
	if _, err := up.Write(first[:n]); err != nil {
		return
	}
	done := make(chan struct{}, 2)
	go l.pump(up, down, caller, callee, done)
	go l.pump(down, up, callee, caller, done)
	<-done
}

// callerOf returns the name of the master that sent a first frame.
func callerOf(frame []byte) string {
	body := frame[helloHead:]
	for field := 0; len(body) > int(body[0]); field++ {
		text := string(body[1 : 1+body[0]])
		body = body[1+len(text):]
		if field == 1 {
			name, _, _ := strings.Cut(text, "/")
			return name
		}
		if len(body) == 0 {
			break
		}
	}
	return ""
}

func (l *links) pump(to, from net.Conn, sender, receiver string, done chan<- struct{}) {
	defer func() { done <- struct{}{} }()
	piece := make([]byte, 64<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			if !l.pass(sender, receiver) {
				return
			}
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			l.pass(sender, receiver) // the end of a connection does not get through a cut either
			return
		}
	}
}

// pass waits until a link lets something through; false: for ever.
func (l *links) pass(from, to string) bool {
	l.mu.Lock()
	for l.blocked[link{from, to}] && !l.closed {
		l.changed.Wait()
	}
	delay, ok := l.delay, !l.closed
	if from == side || to == side {
		delay = 0
	} else if l.loss > 0 && rand.Float64() < l.loss {
		delay += resent
	}
	l.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-l.closing:
		}
	}
	return ok
}

func (l *links) dial(ctx context.Context, party, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil || party != side {
		return conn, err
	}
	return &held{Conn: conn, links: l, party: party, master: l.masters[addr]}, nil
}

// held is a client's connection that stands still while its link is cut.
type held struct {
	net.Conn
	links         *links
	party, master string
}

func (h *held) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	h.links.pass(h.master, h.party)
	return n, err
}

func (h *held) Write(b []byte) (int, error) {
	h.links.pass(h.party, h.master)
	return h.Conn.Write(b)
}
