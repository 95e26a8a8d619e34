package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/taskraft/taskraft/cluster/datadir"
)

// diskWatch looks at the free space once a second. Under the watermark new
// submits are refused, completions are not, and leadership moves on. Enough
// space must stay for a while before it counts, or the node would flap.
type diskWatch struct {
	engine   *engine
	log      *slog.Logger
	measure  func() (datadir.Space, error)
	fsyncP99 func() time.Duration
	limit    time.Duration // of fsyncP99; beyond it leadership becomes unstable

	space atomic.Pointer[datadir.Space] // at the last look; never nil

	low  atomic.Bool
	slow atomic.Bool
}

const (
	spaceEvery = time.Second
	spaceCalm  = 10 // looks in a row with enough space
	// makeRoomEvery is the pause between attempts to hand leadership over.
	makeRoomEvery = 10 * time.Second
)

// run watches until ctx ends; handOver is called while the disk is low.
func (d *diskWatch) run(ctx context.Context, handOver func(context.Context)) {
	tick := time.NewTicker(spaceEvery)
	defer tick.Stop()
	calm := 0
	var last time.Time
	for {
		calm = d.look(calm)
		d.pace()
		if d.low.Load() && time.Since(last) >= makeRoomEvery {
			last = time.Now()
			handOver(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look measures once and returns how long there has been enough space.
func (d *diskWatch) look(calm int) int {
	s, err := d.measure()
	if err != nil {
		d.log.Debug("free space unknown", slog.Any("err", err))
		return calm
	}
	d.space.Store(&s)
	if s.Low() {
		if !d.low.Load() {
			d.log.Warn("disk is low, refusing submits", slog.Uint64("free", s.Free), slog.Uint64("total", s.Total))
			d.engine.refuseSubmits(true) // before the alarm says so
			d.low.Store(true)
		}
		return 0
	}
	if calm++; calm >= spaceCalm && d.low.Load() {
		d.log.Info("disk has space again", slog.Uint64("free", s.Free))
		d.engine.refuseSubmits(false)
		d.low.Store(false)
	}
	return calm
}

// pace compares the time of writes with what the heartbeat allows.
func (d *diskWatch) pace() {
	p99 := d.fsyncP99()
	slow := p99 > d.limit
	if slow && !d.slow.Load() {
		d.log.Warn("disk is slow for this heartbeat", slog.Duration("p99", p99), slog.Duration("limit", d.limit))
	}
	d.slow.Store(slow)
}

// The shares of the heartbeat that writes may take; near the whole of it,
// followers lose patience.
const (
	slowDisk    = 0.2 // at the 99th percentile, while the node runs: warn
	tooSlowDisk = 0.4 // at the median, at the start: refuse
)

// shortHeartbeat asks for a disk to match; longer ones forgive a slow disk.
const shortHeartbeat = 250 * time.Millisecond

// checkPace measures the disk before a start with a short heartbeat, which a slow
// one would turn into endless elections. The median of a few writes says less
// than the 99th percentile of many, but no passing load of the disk raises it.
func (n *Node) checkPace() error {
	if n.cfg.Heartbeat > shortHeartbeat {
		return nil
	}
	probe := datadir.Probe
	if n.cfg.hooks.probe != nil {
		probe = n.cfg.hooks.probe
	}
	_, p50, err := probe(n.cfg.DataDir)
	if err != nil {
		n.log.Warn("speed of the disk unknown", slog.Any("err", err))
		return nil
	}
	limit := time.Duration(tooSlowDisk * float64(n.cfg.Heartbeat))
	if p50 <= limit {
		return nil
	}
	return &Fault{Kind: FaultDisk, Err: fmt.Errorf("%s: the median fsync takes %s, a heartbeat of %s allows %s: use a faster disk, or a longer --raft-timing on every master",
		n.cfg.DataDir, p50, n.cfg.Heartbeat, limit)}
}

// makeRoom hands leadership to a master with more space, if there is one.
func (n *Node) makeRoom(ctx context.Context) {
	if l, _ := n.leader.get(); !l.Self {
		return
	}
	if err := n.handOver(ctx, ""); err != nil {
		n.log.Debug("leadership not handed over", slog.Any("err", err))
	}
}
