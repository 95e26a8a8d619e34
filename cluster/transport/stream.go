package transport

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// stream is the raft.StreamLayer: it dials through the port and accepts the raft
// connections that the port has admitted.
type stream struct {
	port  *Port
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	close sync.Once
}

// newStream is called with p.mu held.
func newStream(p *Port) *stream {
	return &stream{port: p, addr: textAddr(p.cfg.Advertise), conns: make(chan net.Conn), done: make(chan struct{})}
}

// deliver hands an admitted connection to Accept and reports whether it was taken.
func (s *stream) deliver(c *conn) bool {
	select {
	case s.conns <- c:
		select {
		case <-s.done: // Close may have looked for connections too early to see it
			return false
		default:
			return true
		}
	case <-s.done:
		return false
	}
}

// Accept waits also while the port is isolated: Raft would log an error in a loop.
func (s *stream) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and closes the raft connections of both directions.
func (s *stream) Close() error {
	s.close.Do(func() {
		close(s.done)
		s.port.closeConns(func(c *conn) bool { return c.kind == KindRaft })
	})
	return nil
}

func (s *stream) Addr() net.Addr { return s.addr }

// Dial connects to id@host:port.
func (s *stream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id, addr := SplitAddr(address)
	if id == "" {
		return nil, errors.New("raft dialled an address without a server id")
	}
	ctx, cancel := context.WithTimeout(s.port.ctx, timeout)
	defer cancel()
	c, _, err := s.port.dial(ctx, KindRaft, Peer{ID: id, Addr: addr})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// textAddr is the advertised address as net.Addr.
type textAddr string

func (textAddr) Network() string  { return "tcp" }
func (a textAddr) String() string { return string(a) }
