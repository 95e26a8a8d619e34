package transport

import (
	"context"
	"time"
)

// AwaitRaftEnd waits until no raft connection from a server is open any more, or
// for ctx. After the server's process has died this means that everything it had
// still sent has been read and handled by the local Raft, whose log can be
// compared with others'.
func (p *Port) AwaitRaftEnd(ctx context.Context, serverID string) {
	const look = time.Millisecond
	tick := time.NewTicker(look)
	defer tick.Stop()
	for p.hearsRaft(serverID) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *Port) hearsRaft(serverID string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if c.inbound && c.kind == KindRaft && c.peer.ID == serverID {
			return true
		}
	}
	return false
}
