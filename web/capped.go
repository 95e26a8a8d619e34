package web

import (
	"net"
	"sync"
	"sync/atomic"
)

// capped is a listener of which at most so many connections are open at a time.
// Further ones are closed at once: whoever holds many idle ones shall not make the
// others wait.
type capped struct {
	net.Listener
	most int64
	open atomic.Int64
}

// Accept implements net.Listener.
func (c *capped) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c.open.Add(1) <= c.most {
			return &counted{Conn: conn, open: &c.open}, nil
		}
		c.open.Add(-1)
		conn.Close()
	}
}

type counted struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}
