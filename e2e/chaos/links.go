package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// links are the connections between masters. Each master is dialled through a
// proxy, which learns from the first frame who calls, so that a link can be cut or
// slowed in both directions without closing a connection: what is under way then
// waits, as in a network that drops packets.
type links struct {
	mu        sync.Mutex
	changed   *sync.Cond
	alone     string // this master is cut off from all others
	delay     time.Duration
	closed    bool
	closing   chan struct{} // closed with it
	held      int           // pieces that had to wait for a cut link
	listeners []net.Listener
}

func newLinks() *links {
	l := &links{closing: make(chan struct{})}
	l.changed = sync.NewCond(&l.mu)
	return l
}

func (l *links) set(alone string, delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alone, l.delay, l.held = alone, delay, 0
	l.changed.Broadcast()
}

func (l *links) heal() { l.set("", 0) }

// waited returns how many pieces have had to wait since the last change.
func (l *links) waited() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

func (l *links) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	close(l.closing)
	l.changed.Broadcast()
	for _, one := range l.listeners {
		one.Close()
	}
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
	if !l.pass(caller, callee) {
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
	go l.pump(down, up, caller, callee, done)
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

func (l *links) pump(to, from net.Conn, caller, callee string, done chan<- struct{}) {
	defer func() { done <- struct{}{} }()
	piece := make([]byte, 64<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			if !l.pass(caller, callee) {
				return
			}
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			l.pass(caller, callee) // the end of a connection does not get through a cut either
			return
		}
	}
}

// pass waits until the link lets something through; false: for ever.
func (l *links) pass(caller, callee string) bool {
	l.mu.Lock()
	waits := false
	for l.alone != "" && (l.alone == caller || l.alone == callee) && !l.closed {
		if !waits {
			waits = true
			l.held++
		}
		l.changed.Wait()
	}
	delay, ok := l.delay, !l.closed
	if delay > 0 {
		l.held++
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
