package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// Raft is hashicorp/raft's transport over the port. It joins server id and
// address before every dial, so each connection is checked against the server
// that Raft means; bounds AppendEntries by bytes; keeps heartbeats off the
// library's fast path and on one beat; and owns the channel of incoming RPCs, into
// which a TimeoutNow can be put locally.
type Raft struct {
	*raft.NetworkTransport
	stream *stream
	id     raft.ServerID
	addr   raft.ServerAddress // id@host:port
	rpcs   chan raft.RPC
	done   chan struct{}
	beat   metronome
	close  sync.Once

	whole  chan received
	newest atomic.Pointer[arrival] // nil: no snapshot has begun to come in

	mu    sync.Mutex
	pipes map[*pipeline]struct{} // nil: closed
}

var (
	_ raft.Transport   = (*Raft)(nil)
	_ raft.WithPreVote = (*Raft)(nil)
	_ raft.WithClose   = (*Raft)(nil)
)

// CheckRaft returns an error unless what is given to raft.NewRaft still has what
// the library looks for by type assertion: losing it silently turns pre-vote off.
func CheckRaft(tr raft.Transport) error {
	if _, ok := tr.(raft.WithPreVote); !ok {
		return fmt.Errorf("%T has no pre-vote", tr)
	}
	if _, ok := tr.(raft.WithClose); !ok {
		return fmt.Errorf("%T cannot be closed", tr)
	}
	return nil
}

// Raft opens the transport for raft.NewRaft; Port.Adopt and Listen come before, Serve
// after. There is one at a time: after its Close, which Raft's Shutdown calls too,
// another may be opened. log may be nil.
func (p *Port) Raft(log hclog.Logger) (*Raft, error) {
	if log == nil {
		log = hclog.NewNullLogger()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.state == stateClosed:
		return nil, ErrClosed
	case p.server == "":
		return nil, ErrNotAdopted
	case p.state == stateNew:
		return nil, errors.New("the raft port does not listen yet")
	case p.raft != nil:
		return nil, errors.New("the raft transport is open already")
	}
	s := newStream(p)
	r := &Raft{
		stream: s, id: raft.ServerID(p.server), addr: JoinAddr(p.server, p.cfg.Advertise),
		rpcs: make(chan raft.RPC), done: make(chan struct{}), whole: make(chan received), pipes: map[*pipeline]struct{}{},
		NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: s, Logger: log, MaxPool: 3, MaxRPCsInFlight: 2, Timeout: 3 * time.Second,
			MsgpackUseNewTimeFormat: true,
		}),
	}
	r.beat = metronome{every: p.cfg.Beat, epoch: time.Now(), stop: r.done}
	p.raft = r
	return r, nil
}

// pump moves RPCs from the network's channel, which the library lets nobody else
// write to, into our own, one after the other.
func (r *Raft) pump(replica Replica) {
	for open := true; open; {
		select {
		case rpc := <-r.NetworkTransport.Consumer():
			switch args := rpc.Command.(type) {
			case *raft.AppendEntriesRequest:
				bound(args)
				anchor(args, replica)
				open = r.hand(rpc)
			case *raft.InstallSnapshotRequest:
				r.receive(rpc, args, replica)
			default:
				open = r.hand(rpc)
			}
		case s := <-r.whole:
			open = r.install(s.rpc, replica)
			go s.spool.Close() // it was read, and its disk may hang
		case <-r.done:
			return
		}
	}
}

// Consumer returns the incoming RPCs, heartbeats among them.
func (r *Raft) Consumer() <-chan raft.RPC { return r.rpcs }

// SetHeartbeatHandler does nothing: heartbeats take the ordinary path through
// Raft's main loop, since the fast path lets logs diverge (hashicorp/raft#695).
func (r *Raft) SetHeartbeatHandler(func(raft.RPC)) {}

// InjectTimeoutNow makes the local Raft a candidate at once, past the pre-vote
// and past the others' belief in a leader, as a leadership transfer would. Only a
// follower that is a voter may do so: a non-voter would depose a healthy leader,
// and a leader itself. It returns when Raft has taken it.
func (r *Raft) InjectTimeoutNow(ctx context.Context) error {
	taken := make(chan raft.RPCResponse, 1) // an unread answer must not block Raft
	rpc := raft.RPC{
		Command: &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
			ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(r.id), Addr: []byte(r.addr),
		}},
		RespChan: taken,
	}
	select {
	case r.rpcs <- rpc:
	case <-r.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case resp := <-taken:
		return resp.Error
	case <-r.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the transport and all raft connections; the port stays open.
func (r *Raft) Close() error {
	var err error
	r.close.Do(func() {
		close(r.done)
		r.closePipes()
		err = r.NetworkTransport.Close()
		r.stream.port.mu.Lock()
		r.stream.port.raft = nil
		r.stream.port.mu.Unlock()
	})
	return err
}

// LocalAddr returns id@host:port.
func (r *Raft) LocalAddr() raft.ServerAddress { return r.addr }

// EncodePeer returns id@host:port, which is what votes are remembered by.
func (r *Raft) EncodePeer(id raft.ServerID, addr raft.ServerAddress) []byte {
	return []byte(join(id, addr))
}

// AppendEntriesPipeline implements raft.Transport.
func (r *Raft) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := r.NetworkTransport.AppendEntriesPipeline(id, join(id, target))
	if err != nil {
		return nil, err
	}
	own := &pipeline{AppendPipeline: p, raft: r, repeat: repeatBeats * r.beat.every}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pipes == nil {
		return nil, errors.Join(ErrClosed, p.Close())
	}
	r.pipes[own] = struct{}{}
	return own, nil
}

// closePipes ends what the library's pipelines wait for. One whose peer has answered
// from a later term reads no more answers, so that whoever sends into it may wait for
// ever, and Raft's shutdown for him.
func (r *Raft) closePipes() {
	r.mu.Lock()
	all := r.pipes
	r.pipes = nil
	r.mu.Unlock()
	for p := range all {
		_ = p.AppendPipeline.Close() // of the connection, which ends anyway
	}
}

// AppendEntries implements raft.Transport.
func (r *Raft) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if heartbeat(args) {
		r.beat.wait()
	}
	trim(args)
	return r.NetworkTransport.AppendEntries(id, join(id, target), args, resp)
}

// RequestVote implements raft.Transport.
func (r *Raft) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return r.NetworkTransport.RequestVote(id, join(id, target), args, resp)
}

// RequestPreVote implements raft.WithPreVote.
func (r *Raft) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return r.NetworkTransport.RequestPreVote(id, join(id, target), args, resp)
}

// InstallSnapshot implements raft.Transport.
func (r *Raft) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	return r.NetworkTransport.InstallSnapshot(id, join(id, target), args, resp, data)
}

// TimeoutNow implements raft.Transport.
func (r *Raft) TimeoutNow(id raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return r.NetworkTransport.TimeoutNow(id, join(id, target), args, resp)
}

// JoinAddr returns id@host:port, an address as Raft sees it.
func JoinAddr(serverID, addr string) raft.ServerAddress {
	return raft.ServerAddress(serverID + "@" + addr)
}

// SplitAddr takes id@host:port apart; id is empty when there is none.
func SplitAddr(a raft.ServerAddress) (serverID, addr string) {
	i := strings.LastIndexByte(string(a), '@')
	if i < 0 {
		return "", string(a)
	}
	return string(a[:i]), string(a[i+1:])
}

// join puts the id before an address that a configuration gave without one.
func join(id raft.ServerID, a raft.ServerAddress) raft.ServerAddress {
	if strings.IndexByte(string(a), '@') >= 0 {
		return a
	}
	return JoinAddr(string(id), string(a))
}
