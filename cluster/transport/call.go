package transport

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// silence is how long a connection may leave calls unanswered before the next
// call dials anew: TCP alone would go on for minutes after a cut.
const silence = 2 * time.Second

// Call runs a method of a peer and decodes its answer into reply (a pointer, or
// nil). Calls to one peer share a connection, which is made when needed. ctx
// bounds dialling and waiting, and travels with the call; without a deadline
// Call waits until the connection ends. Nothing is repeated: on ErrConnLost and
// on ctx's errors the call may have been carried out; whatever fails
// because this side shut its port is ErrClosed or ErrIsolated as well. Other errors:
// *RefusedError, *RemoteError, the dial's, ErrNotAdopted.
func (p *Port) Call(ctx context.Context, to Peer, method string, args, reply any) error {
	body, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("encode arguments of %s: %w", method, err)
	}
	l, err := p.link(ctx, to)
	if err != nil {
		return p.owning(err)
	}
	answer, err := l.call(ctx, frame{kind: frameCall, method: method, body: body})
	if err == nil && answer.kind == frameExpired {
		err = context.DeadlineExceeded
	}
	if err != nil {
		return fmt.Errorf("call %s of %s: %w", method, to, p.owning(err))
	}
	if answer.kind != frameReply {
		return &RemoteError{Method: method, Message: string(answer.body), Unknown: answer.kind == frameUnknown}
	}
	if reply == nil {
		return nil
	}
	if err := json.Unmarshal(answer.body, reply); err != nil {
		return fmt.Errorf("decode reply of %s: %w", method, err)
	}
	return nil
}

// owning adds to the failure of a call that this side's port is shut, if it is: what
// failed then says nothing of the peer.
func (p *Port) owning(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if own := p.ready(); own != nil && !errors.Is(err, own) {
		return fmt.Errorf("%w: %w", own, err)
	}
	return err
}

// link is a connection for calls, or the wish for one.
type link struct {
	made chan struct{} // closed once c or err is set
	c    *conn
	err  error

	wmu sync.Mutex // one frame at a time

	mu      sync.Mutex
	last    uint64                // call number
	pending map[uint64]chan frame // buffered; nil once the connection has ended
	suspect time.Time             // start of the first call that met silence; zero after each answer
}

// link returns the peer's connection; the first caller dials, others wait for it.
func (p *Port) link(ctx context.Context, to Peer) (*link, error) {
	for {
		p.mu.Lock()
		if err := p.ready(); err != nil {
			p.mu.Unlock()
			return nil, err
		}
		l, ok := p.links[to]
		if !ok {
			l = &link{made: make(chan struct{}), pending: map[uint64]chan frame{}}
			p.links[to] = l
		}
		p.mu.Unlock()
		if !ok {
			p.connect(ctx, to, l)
			return l, l.err
		}
		select {
		case <-l.made:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if l.err == nil {
			return l, nil
		}
		if !errors.Is(l.err, context.Canceled) && !errors.Is(l.err, context.DeadlineExceeded) {
			return nil, l.err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// The dialler's own time was up, not ours: dial ourselves.
	}
}

// connect fills l, or sets its error and takes it out of the table.
func (p *Port) connect(ctx context.Context, to Peer, l *link) {
	kind := KindPeer
	if to.ID == "" {
		kind = KindIdentify
	}
	l.c, _, l.err = p.dial(ctx, kind, to)
	if l.err == nil && !p.spawn(func() { p.receive(to, l) }) {
		l.c.Close()
		l.err = ErrClosed
	}
	if l.err != nil {
		p.unlink(to, l)
	}
	close(l.made)
}

func (p *Port) unlink(to Peer, l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.links[to] == l {
		delete(p.links, to)
	}
}

// receive hands answers to their callers until the connection ends.
func (p *Port) receive(to Peer, l *link) {
	defer func() {
		l.c.Close()
		p.unlink(to, l)
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, answer := range l.pending {
			close(answer)
		}
		l.pending = nil
	}()
	r := bufio.NewReader(l.c)
	for {
		f, err := readCallFrame(r)
		if err != nil || f.kind == frameCall {
			return
		}
		l.mu.Lock()
		l.suspect = time.Time{}
		answer, ok := l.pending[f.call]
		delete(l.pending, f.call)
		l.mu.Unlock()
		if ok {
			answer <- f
		}
	}
}

func (l *link) call(ctx context.Context, f frame) (frame, error) {
	start := time.Now()
	answer := make(chan frame, 1)
	l.mu.Lock()
	if l.pending == nil {
		l.mu.Unlock()
		return frame{}, ErrConnLost
	}
	l.last++
	f.call = l.last
	l.pending[f.call] = answer
	l.mu.Unlock()
	if err := l.send(ctx, f); err != nil {
		l.drop(f.call)
		return frame{}, err
	}
	select {
	case f, ok := <-answer:
		if !ok {
			return frame{}, ErrConnLost
		}
		return f, nil
	case <-ctx.Done():
		l.abandon(f.call, start)
		return frame{}, ctx.Err()
	}
}

func (l *link) send(ctx context.Context, f frame) error {
	limit := time.Now().Add(writeTimeout)
	if d, ok := ctx.Deadline(); ok {
		f.budget = max(time.Until(d), time.Millisecond)
		if d.Before(limit) {
			limit = d
		}
	}
	b, err := f.encode()
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	l.wmu.Lock()
	defer l.wmu.Unlock()
	if err := l.c.SetWriteDeadline(limit); err != nil {
		return ErrConnLost
	}
	if _, err := l.c.Write(b); err != nil {
		l.c.Close() // half a frame may be out, and receive must end
		return fmt.Errorf("%w: %w", ErrConnLost, err)
	}
	return nil
}

func (l *link) drop(call uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pending, call)
}

// abandon gives a call up and closes the connection when it has been silent for
// long although calls were waiting.
func (l *link) abandon(call uint64, start time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, waiting := l.pending[call]; !waiting {
		return
	}
	delete(l.pending, call)
	if l.suspect.IsZero() {
		l.suspect = start
	}
	if time.Since(l.suspect) >= silence {
		l.c.Close()
	}
}
