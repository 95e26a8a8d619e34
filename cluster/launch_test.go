package cluster

import (
	"bytes"
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/taskraft/taskraft/fsm"
)

// started runs Start, which must return.
func started(t *testing.T, ctx context.Context, cfg Config) (*Node, error) {
	t.Helper()
	type outcome struct {
		node *Node
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		n, err := Start(ctx, cfg)
		done <- outcome{n, err}
	}()
	select {
	case o := <-done:
		return o.node, o.err
	case <-time.After(patience):
		t.Fatal("Start does not return")
		return nil, nil
	}
}

// formedMaster forms a cluster of one and stops it again.
func formedMaster(t *testing.T) (*testCluster, *faultyDisk) {
	t.Helper()
	c, disks := newFaultyCluster(t, 1, 500*time.Millisecond)
	c.startAll()
	c.leader()
	c.stop(0)
	return c, disks[0]
}

func TestB15DiskThatFailsAtTheStart(t *testing.T) {
	t.Run("formed", func(t *testing.T) {
		c, disk := formedMaster(t)
		disk.fail(syscall.EIO)
		_, err := started(t, t.Context(), c.cfgs[0])
		wantFault(t, err, FaultDisk)
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("got %v, want %v", err, syscall.EIO)
		}
	})
	t.Run("unformed", func(t *testing.T) {
		c, disks := newFaultyCluster(t, 1, 500*time.Millisecond)
		disks[0].fail(syscall.EIO)
		n := c.start(0)
		c.nodes[0] = nil
		if err := ended(t, n, FaultDisk); !errors.Is(err, syscall.EIO) {
			t.Errorf("ended with %v, want %v", err, syscall.EIO)
		}
	})
}

// TestB16DiskThatHangsAtTheStart ends a start by its context, and an unformed
// node by Stop, while the first write hangs.
func TestB16DiskThatHangsAtTheStart(t *testing.T) {
	t.Run("formed", func(t *testing.T) {
		c, disk := formedMaster(t)
		disk.hang()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := started(t, ctx, c.cfgs[0]); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		disk.release()
		eventually(t, "the directory is free again", func() bool {
			n, err := Start(t.Context(), c.cfgs[0])
			c.nodes[0] = n
			return err == nil
		})
		c.leader()
	})
	t.Run("unformed", func(t *testing.T) {
		c, disks := newFaultyCluster(t, 1, 500*time.Millisecond)
		disks[0].hang()
		n := c.start(0)
		c.nodes[0] = nil
		eventually(t, "the first write hangs", func() bool { return n.store.Stats().Hung })
		stopped := make(chan error, 1)
		go func() { stopped <- n.Stop(t.Context()) }()
		select {
		case err := <-stopped:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("Stop does not return")
		}
	})
}

// TestB10NewerSnapshot is D07 too: the operator must hear that the node is too
// old, not that its disk is damaged.
func TestB10NewerSnapshot(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.startAll()
	c.leader()
	c.stop(0)
	sink := createSnapshot(t, openedSnapshots(t, c.cfgs[0].DataDir), 1000)
	var b bytes.Buffer
	if _, err := fsm.New().Snapshot().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	newer := b.Bytes()
	newer[8] = 0xff // of the version, behind the magic number
	z, err := zstd.NewWriter(sink)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(newer); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(z.Close(), sink.Close()); err != nil {
		t.Fatal(err)
	}
	_, err = started(t, t.Context(), c.cfgs[0])
	wantFault(t, err, FaultIdentity)
	if !errors.Is(err, fsm.ErrNewer) {
		t.Errorf("got %v, want %v", err, fsm.ErrNewer)
	}
}
