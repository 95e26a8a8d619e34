// Package transporttest breaks the network between in-process masters: put
// Net.Dial into transport.Config.Dial.
package transporttest

import (
	"context"
	"net"
	"sync"
	"syscall"
)

// Net dials TCP and can make single addresses fail. It covers what its owner
// dials; cutting two masters off from each other takes a fault on both sides.
// The zero value is ready to use.
type Net struct {
	mu     sync.Mutex
	faults map[string]fault
	conns  map[*conn]struct{}
	dials  map[string]int
}

type fault uint8

const (
	none fault = iota
	reject
	drop
)

// Reject makes the address look like behind a firewall that rejects: open
// connections read ECONNRESET, dials fail with ECONNREFUSED.
func (n *Net) Reject(addr string) { n.set(addr, reject) }

// Drop makes the address look unreachable: open connections stay silent, dials
// hang until their context ends.
func (n *Net) Drop(addr string) { n.set(addr, drop) }

// Allow ends the fault. Connections that were open during Drop then read ECONNRESET.
func (n *Net) Allow(addr string) { n.set(addr, none) }

// Dials returns how many dials to the address were tried, failed ones included.
func (n *Net) Dials(addr string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials[addr]
}

func (n *Net) set(addr string, f fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.faults == nil {
		n.faults = map[string]fault{}
	}
	n.faults[addr] = f
	for c := range n.conns {
		switch {
		case c.addr != addr:
		case f == reject, c.lossy && f == none:
			c.reset = true
			c.Conn.Close()
		case f == drop:
			c.lossy = true
		}
	}
}

// Dial is for transport.Config.Dial.
func (n *Net) Dial(ctx context.Context, addr string) (net.Conn, error) {
	n.mu.Lock()
	if n.conns == nil {
		n.conns, n.dials = map[*conn]struct{}{}, map[string]int{}
	}
	n.dials[addr]++
	f := n.faults[addr]
	n.mu.Unlock()
	switch f {
	case reject:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case drop:
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, net: n, addr: addr}
	n.mu.Lock()
	n.conns[c] = struct{}{}
	n.mu.Unlock()
	return c, nil
}

type conn struct {
	net.Conn
	net          *Net
	addr         string
	lossy, reset bool // under net.mu
}

func (c *conn) state() (lossy, reset bool) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	return c.lossy, c.reset
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		k, err := c.Conn.Read(b)
		lossy, reset := c.state()
		switch {
		case reset:
			return 0, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
		case err != nil || !lossy:
			return k, err
		}
	}
}

func (c *conn) Write(b []byte) (int, error) {
	if lossy, _ := c.state(); lossy {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *conn) Close() error {
	c.net.mu.Lock()
	delete(c.net.conns, c)
	c.net.mu.Unlock()
	return c.Conn.Close()
}
