package transport

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

const (
	maxCallsPerConn = 64
	writeTimeout    = 5 * time.Second
)

// Caller is the process at the other end, as its hello said.
type Caller struct {
	ID   string // server id; empty for a master that belongs to no cluster yet
	Boot string
	Addr string // its advertised host:port
}

// Access says whom a method answers.
type Access uint8

// Members are masters of this cluster, on peer connections; Anyone may also be a
// process without an identity, before or after our own adoption.
const (
	Members Access = iota
	Anyone
)

type handler struct {
	access Access
	call   func(ctx context.Context, from Caller, args []byte) ([]byte, error)
}

// Handle lets f answer calls of a method. Arguments and reply travel as JSON, so
// that masters of neighbouring versions understand each other. ctx ends with the
// caller's deadline, with its connection, and with Close; f must heed it, since
// Close waits for f. An error reaches the caller as a *RemoteError with its text.
// All methods are registered before Listen; a second one of a name panics.
func Handle[A, R any](p *Port, access Access, method string, f func(ctx context.Context, from Caller, args A) (R, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, dup := p.handlers[method]; dup || p.state != stateNew || len(method) > maxField {
		panic("transport: method " + method + " registered twice, after Listen, or with too long a name")
	}
	p.handlers[method] = handler{access, func(ctx context.Context, from Caller, body []byte) ([]byte, error) {
		var args A
		if err := json.Unmarshal(body, &args); err != nil {
			return nil, fmt.Errorf("decode arguments: %w", err)
		}
		reply, err := f(ctx, from, args)
		if err != nil {
			return nil, err
		}
		return json.Marshal(reply)
	}}
}

// serveCalls answers the calls on a connection until it ends.
func (p *Port) serveCalls(c *conn) {
	ctx, cancel := context.WithCancel(p.ctx)
	var calls sync.WaitGroup
	defer calls.Wait()
	defer cancel()
	var wmu sync.Mutex
	slots := make(chan struct{}, maxCallsPerConn) // full: not reading on is the back-pressure
	r := bufio.NewReader(c)
	for {
		f, err := readCallFrame(r)
		if err != nil || f.kind != frameCall {
			return
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		calls.Go(func() {
			defer func() { <-slots }()
			b := p.answerCall(ctx, c, f)
			wmu.Lock()
			defer wmu.Unlock()
			_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := c.Write(b); err != nil {
				c.Close() // half a frame may be out
			}
		})
	}
}

// answerCall runs one call and returns the encoded answer.
func (p *Port) answerCall(ctx context.Context, c *conn, f frame) []byte {
	answer := frame{kind: frameReply, call: f.call}
	h, ok := p.handlers[f.method]
	if !ok || h.access != Anyone && c.kind != KindPeer {
		answer.kind, answer.body = frameUnknown, []byte("no such method for this caller")
	} else {
		if f.budget > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, f.budget)
			defer cancel()
		}
		body, err := h.call(ctx, c.peer, f.body)
		switch {
		case err != nil && ctx.Err() != nil:
			answer.kind, body = frameExpired, nil
		case err != nil:
			answer.kind, body = frameError, []byte(err.Error())
			body = body[:min(len(body), MaxCall)]
		}
		answer.body = body
	}
	b, err := answer.encode()
	if err != nil { // the reply is too large
		b, _ = frame{kind: frameError, call: f.call, body: []byte(err.Error())}.encode()
	}
	return b
}
