package cluster

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/taskraft/taskraft/cluster/datadir"
)

// faultyDisk delays or fails a node's writes.
type faultyDisk struct {
	mu   sync.Mutex
	gate chan struct{} // nil: open
	err  error
	low  atomic.Bool
}

func (d *faultyDisk) write() error {
	d.mu.Lock()
	gate, err := d.gate, d.err
	d.mu.Unlock()
	if gate != nil {
		<-gate
	}
	return err
}

func (d *faultyDisk) hang() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gate = make(chan struct{})
}

func (d *faultyDisk) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gate != nil {
		close(d.gate)
		d.gate = nil
	}
}

func (d *faultyDisk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

func (d *faultyDisk) space() (datadir.Space, error) {
	s := datadir.Space{Free: 1 << 40, Total: 2 << 40}
	if d.low.Load() {
		s.Free = 1 << 20
	}
	return s, nil
}

// newFaultyCluster prepares a cluster whose disks the test controls.
func newFaultyCluster(t *testing.T, n int, heartbeat time.Duration) (*testCluster, []*faultyDisk) {
	disks := make([]*faultyDisk, n)
	c := newTestCluster(t, n, func(i int, cfg *Config) {
		disks[i] = &faultyDisk{}
		cfg.Heartbeat = heartbeat
		cfg.hooks = hooks{beforeWrite: disks[i].write, writeDeadline: 300 * time.Millisecond, space: disks[i].space}
	})
	t.Cleanup(func() { // before the nodes stop, which waits for their writes
		for _, d := range disks {
			d.release()
		}
	})
	return c, disks
}

func TestB16HungDiskOfTheLeader(t *testing.T) {
	c, disks := newFaultyCluster(t, 3, slowTimers)
	c.startAll()
	first := c.submit("before")
	old := c.leader()
	c.watched()
	disks[old].hang()
	done := make(chan error, 1)
	go func() {
		_, _, err := c.nodes[old].Propose(t.Context(), oneTask("during"))
		done <- err
	}()
	eventually(t, "the leader keeps apart", func() bool { on, _ := c.nodes[old].Isolated(); return on })
	if err := <-done; !errors.Is(err, ErrUncertain) {
		if _, ok := errors.AsType[*NotLeaderError](err); !ok {
			t.Errorf("a call on the hung leader ended with %v", err)
		}
	}
	eventually(t, "another master leads", func() bool { return c.leader() != old })
	if role := c.nodes[old].Status().Role; role != "isolated" {
		t.Errorf("the hung master's role is %s, want isolated", role)
	}
	second := c.submit("meanwhile")

	disks[old].release()
	eventually(t, "the hung master comes back", func() bool {
		on, _ := c.nodes[old].Isolated()
		return !on && has(c.nodes[old], first) && has(c.nodes[old], second)
	})
	if l := c.leader(); l == old {
		t.Error("the hung master leads again")
	}
	c.sameDigest()
}

func TestB16AllDisksHangAtOnce(t *testing.T) {
	c, disks := newFaultyCluster(t, 3, 500*time.Millisecond)
	c.startAll()
	c.submit("before")
	leader := c.leader()
	for _, d := range disks {
		d.hang()
	}
	go func() { _, _, _ = c.nodes[leader].Propose(t.Context(), oneTask("during")) }()
	eventually(t, "the leader keeps apart, or has lost the others first", func() bool {
		apart, _ := c.nodes[leader].Isolated()
		l, _ := c.nodes[leader].Leader()
		return apart || !l.Self
	})
	for _, d := range disks {
		d.release()
	}
	c.submit("after")
	c.sameDigest()
}

func TestB16HungDiskOfASingleMaster(t *testing.T) {
	c, disks := newFaultyCluster(t, 1, 500*time.Millisecond)
	c.startAll()
	c.submit("before")
	disks[0].hang()
	go func() { _, _, _ = c.nodes[0].Propose(t.Context(), oneTask("during")) }()
	eventually(t, "it keeps apart", func() bool { l, _ := c.nodes[0].Leader(); return !l.Self })
	disks[0].release()
	c.submit("after")
}

func TestB15FailedWriteEndsTheNode(t *testing.T) {
	c, disks := newFaultyCluster(t, 3, slowTimers)
	c.startAll()
	c.submit("before")
	old := c.leader()
	c.watched()
	broken := errors.New("input/output error")
	disks[old].fail(broken)
	node := c.nodes[old]
	go func() { _, _, _ = node.Propose(t.Context(), oneTask("during")) }()
	if err := ended(t, node, FaultDisk); !errors.Is(err, broken) {
		t.Errorf("ended with %v, want %v", err, broken)
	}
	c.nodes[old] = nil
	c.submit("after")
}

func TestB14LowDiskMovesLeadershipOn(t *testing.T) {
	c, disks := newFaultyCluster(t, 3, slowTimers)
	c.startAll()
	old := c.leader()
	disks[old].low.Store(true)
	eventually(t, "another master leads", func() bool { return c.leader() != old })
	if alarms := c.nodes[old].Status().Alarms; !slices.Contains(alarms, AlarmDiskLow) {
		t.Errorf("alarms %v, want %s", alarms, AlarmDiskLow)
	}
	c.submit("on a master with space")
}

func TestB14LowDisksEverywhereRefuseSubmits(t *testing.T) {
	c, disks := newFaultyCluster(t, 3, slowTimers)
	for _, d := range disks {
		d.low.Store(true)
	}
	c.startAll()
	leader := c.nodes[c.leader()]
	eventually(t, "submits are refused", func() bool {
		_, _, err := leader.Propose(t.Context(), oneTask("a"))
		return errors.Is(err, ErrDiskLow)
	})
}

func TestShortHeartbeatNeedsAFastDisk(t *testing.T) {
	for _, tt := range []struct {
		name            string
		heartbeat, took time.Duration
		err             error
		refused         bool
	}{
		{"fast", 250 * time.Millisecond, 100 * time.Millisecond, nil, false},
		{"slow", 250 * time.Millisecond, 101 * time.Millisecond, nil, true},
		{"slow for less", 50 * time.Millisecond, 21 * time.Millisecond, nil, true},
		{"longer heartbeat", 500 * time.Millisecond, time.Second, nil, false},
		{"unknown", 250 * time.Millisecond, 0, syscall.ENOSPC, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newTestCluster(t, 1, func(_ int, cfg *Config) {
				cfg.Heartbeat = tt.heartbeat
				cfg.hooks.probe = func(string) (string, time.Duration, error) { return "ext4", tt.took, tt.err }
			})
			n, err := Start(t.Context(), c.cfgs[0])
			c.nodes[0] = n
			if !tt.refused {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantFault(t, err, FaultDisk)
			for _, part := range []string{tt.took.String(), tt.heartbeat.String(), "--raft-timing"} {
				if !strings.Contains(errText(err), part) {
					t.Errorf("%q does not name %s", errText(err), part)
				}
			}
		})
	}
}
