package transport

import (
	"context"
	"errors"
	"fmt"
)

// dial connects to a peer and carries out the caller's side of the handshake.
// Every error of the network stays visible to errors.Is.
func (p *Port) dial(ctx context.Context, kind Kind, to Peer) (*conn, answer, error) {
	p.mu.Lock()
	h := hello{
		kind: kind, cluster: p.cluster, caller: p.server, callee: to.ID,
		boot: p.cfg.Boot, addr: p.cfg.Advertise,
	}
	err := p.ready()
	p.mu.Unlock()
	if err != nil {
		return nil, answer{}, err
	}
	if kind != KindIdentify && h.caller == "" {
		return nil, answer{}, ErrNotAdopted
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.HandshakeTimeout)
	defer cancel()
	nc, err := p.cfg.Dial(ctx, to.Addr)
	if err != nil {
		return nil, answer{}, fmt.Errorf("dial %s: %w", to, err)
	}
	c, err := p.track(nc, false)
	if err != nil {
		return nil, answer{}, err
	}
	a, err := p.introduce(ctx, c, h)
	if err == nil {
		err = p.check(h, to, a)
	}
	if err != nil {
		c.Close()
		if refused, ok := errors.AsType[*RefusedError](err); ok {
			p.cfg.OnRefused(refused)
		}
		return nil, a, err
	}
	p.mu.Lock()
	c.kind, c.peer = kind, Caller{ID: a.server, Boot: a.boot, Addr: to.Addr}
	p.mu.Unlock()
	return c, a, nil
}

// introduce exchanges hello and answer; the end of ctx ends it.
func (p *Port) introduce(ctx context.Context, c *conn, h hello) (answer, error) {
	stop := context.AfterFunc(ctx, func() { c.Conn.Close() })
	err := h.write(c)
	var a answer
	if err == nil {
		a, err = readAnswer(c)
	}
	if !stop() {
		return a, fmt.Errorf("handshake with %s: %w", c.RemoteAddr(), context.Cause(ctx))
	}
	if err != nil {
		return a, fmt.Errorf("handshake with %s: %w", c.RemoteAddr(), err)
	}
	return a, nil
}

// check compares the answer with what was expected. The callee did the same;
// both sides check so that neither depends on the other's version.
func (p *Port) check(h hello, to Peer, a answer) error {
	reason := a.reason
	if reason == 0 && h.kind != KindIdentify {
		switch {
		case a.cluster != h.cluster:
			reason = WrongCluster
		case a.server != to.ID:
			reason = WrongServer
		}
	}
	if reason == 0 {
		return nil
	}
	return &RefusedError{Kind: h.kind, Peer: to, Reason: reason, ClusterID: a.cluster, ServerID: a.server, Boot: a.boot}
}
