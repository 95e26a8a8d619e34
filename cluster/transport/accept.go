package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// maxHandshakes bounds connections that have not said who they are.
const maxHandshakes = 256

// accept takes connections until ln is closed.
func (p *Port) accept(ln net.Listener) {
	var handshakes atomic.Int32
	backoff := time.NewTimer(0)
	defer backoff.Stop()
	for {
		nc, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors or memory: it passes, or the node dies of it elsewhere
			p.log.Warn("cannot accept a raft connection", "err", err)
			backoff.Reset(50 * time.Millisecond)
			select {
			case <-backoff.C:
			case <-p.ctx.Done():
			}
			continue
		}
		c, err := p.track(nc, true)
		if err != nil {
			return
		}
		if handshakes.Add(1) > maxHandshakes {
			handshakes.Add(-1)
			c.Close()
			continue
		}
		p.wg.Go(func() {
			err := p.greet(c)
			handshakes.Add(-1)
			if err != nil {
				p.log.Debug("raft connection refused", "peer", c.RemoteAddr().String(), "err", err)
				c.Close()
				return
			}
			p.serve(c)
		})
	}
}

// greet carries out the server's side of the handshake.
func (p *Port) greet(c *conn) error {
	if err := c.SetDeadline(time.Now().Add(p.cfg.HandshakeTimeout)); err != nil {
		return err
	}
	h, err := readHello(c)
	var other versionError
	if err != nil && !errors.As(err, &other) {
		return err
	}
	a := answer{reason: WrongVersion}
	if err == nil {
		a = p.admit(c, h)
	}
	if werr := a.write(c); werr != nil {
		return werr
	}
	if a.reason != 0 {
		return &RefusedError{
			Kind: h.kind, Peer: Peer{h.caller, h.addr}, Reason: a.reason,
			ClusterID: a.cluster, ServerID: a.server, Boot: a.boot,
		}
	}
	return c.SetDeadline(time.Time{})
}

// admit decides about a hello and, when it accepts, marks c as that caller's.
func (p *Port) admit(c *conn, h hello) answer {
	for {
		a, elder := p.consider(c, h)
		if elder == nil {
			return a
		}
		if p.alive(*elder) {
			a.reason = Duplicate
			return a
		}
		p.closeConns(func(c *conn) bool { return c.inbound && c.peer == *elder })
	}
}

// consider is one try of admit. A non-nil elder is another process of the same
// server id that still has connections here: nothing is decided while it lives.
func (p *Port) consider(c *conn, h hello) (a answer, elder *Caller) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a = answer{cluster: p.cluster, server: p.server, boot: p.cfg.Boot}
	caller := Caller{ID: h.caller, Boot: h.boot, Addr: h.addr}
	switch {
	case h.kind == KindIdentify:
	case p.server == "":
		a.reason = NotAdopted
	case h.cluster != p.cluster:
		a.reason = WrongCluster
	case h.callee != p.server || h.caller == "":
		a.reason = WrongServer
	case h.caller == p.server && h.boot != p.cfg.Boot: // a copy of this very master
		a.reason = Duplicate
	case h.kind == KindRaft && p.raft == nil:
		a.reason = NotReady
	default:
		for o := range p.conns {
			if o.inbound && o.kind != 0 && o.kind != KindIdentify && o.peer.ID == h.caller && o.peer.Boot != h.boot {
				older := o.peer
				return a, &older
			}
		}
	}
	if a.reason == 0 {
		c.kind, c.peer = h.kind, caller
	}
	return a, nil
}

// alive asks at a process's own address whether it still runs.
func (p *Port) alive(who Caller) bool {
	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.HandshakeTimeout/3)
	defer cancel()
	c, a, err := p.dial(ctx, KindIdentify, Peer{Addr: who.Addr})
	if err != nil {
		return false
	}
	c.Close()
	return a.boot == who.Boot
}

// serve runs an accepted connection until it ends; a raft connection is handed over.
func (p *Port) serve(c *conn) {
	switch c.kind {
	case KindRaft:
		p.mu.Lock()
		tr := p.raft
		p.mu.Unlock()
		if tr == nil || !tr.stream.deliver(c) {
			c.Close()
		}
	case KindWatch:
		// Silent for life: no deadline, nothing written, and the watcher says nothing.
		_, _ = io.ReadFull(c, make([]byte, 1))
		c.Close()
	case KindFeed:
		p.serveFeed(c)
		c.Close()
	case KindPeer, KindIdentify:
		p.serveCalls(c)
		c.Close()
	}
}
