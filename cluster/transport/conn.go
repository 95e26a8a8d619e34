package transport

import (
	"net"
)

// conn is a connection that Isolate and Close can end. The fields below Conn are
// set once its handshake is done, under Port.mu.
type conn struct {
	net.Conn
	port    *Port
	inbound bool
	kind    Kind   // 0 during the handshake
	peer    Caller // the process at the other end
}

// Close closes the connection and forgets it.
func (c *conn) Close() error {
	c.port.mu.Lock()
	delete(c.port.conns, c)
	c.port.mu.Unlock()
	return c.Conn.Close()
}

// track registers a connection; nothing gets past Isolate or Close that way.
func (p *Port) track(nc net.Conn, inbound bool) (*conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.ready(); err != nil {
		nc.Close()
		return nil, err
	}
	c := &conn{Conn: nc, port: p, inbound: inbound}
	p.conns[c] = struct{}{}
	return c, nil
}

// closeConns closes the connections that match.
func (p *Port) closeConns(match func(*conn) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if match(c) {
			c.Conn.Close()
			delete(p.conns, c)
		}
	}
}
