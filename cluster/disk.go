package cluster

import (
	"context"
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
	space    func() (datadir.Space, error)
	fsyncP99 func() time.Duration
	limit    time.Duration // of fsyncP99; beyond it leadership becomes unstable

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
	s, err := d.space()
	if err != nil {
		d.log.Debug("free space unknown", slog.Any("err", err))
		return calm
	}
	if s.Low() {
		if !d.low.Swap(true) {
			d.log.Warn("disk is low, refusing submits", slog.Uint64("free", s.Free), slog.Uint64("total", s.Total))
			d.engine.refuseSubmits(true)
		}
		return 0
	}
	if calm++; calm >= spaceCalm && d.low.Swap(false) {
		d.log.Info("disk has space again", slog.Uint64("free", s.Free))
		d.engine.refuseSubmits(false)
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

// makeRoom hands leadership to a master with more space, if there is one.
func (n *Node) makeRoom(ctx context.Context) {
	if l, _ := n.leader.get(); !l.Self {
		return
	}
	if err := n.handOver(ctx, ""); err != nil {
		n.log.Debug("leadership not handed over", slog.Any("err", err))
	}
}
