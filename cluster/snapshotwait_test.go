package cluster

import (
	"context"
	"testing"
	"time"
)

// TestSnapshotsEndWithTheNode: while a disk hangs Raft is still at one snapshot, and
// takes no wish for the next. Who makes it must not keep the node from its end.
func TestSnapshotsEndWithTheNode(t *testing.T) {
	hung := make(chan struct{})
	armed := make(chan struct{})
	c := newTestCluster(t, 1, func(_ int, cfg *Config) {
		cfg.hooks.beforeWrite = func() error {
			select {
			case <-armed:
				<-hung
			default:
			}
			return nil
		}
	})
	c.startAll()
	n := c.nodes[c.leader()]
	c.submit("a")
	close(armed)
	defer close(hung)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _, _, _ = n.Propose(ctx, oneTask("b")) }()
	ended := make(chan error)
	for range 2 {
		go func() { ended <- n.member.Load().snapshots.take(ctx) }()
	}
	time.AfterFunc(200*time.Millisecond, cancel)
	for range 2 {
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("a snapshot is waited for although the node ends")
		}
	}
}
