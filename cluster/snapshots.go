package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"github.com/klauspost/compress/zstd"

	"github.com/taskraft/taskraft/cluster/events"
	"github.com/taskraft/taskraft/cluster/logstore"
	"github.com/taskraft/taskraft/fsm"
)

// frozen writes one snapshot of the table, compressed, while entries go on
// being applied.
type frozen struct {
	s    *fsm.Snapshot
	ring *events.Ring // nil: nothing to do with it
}

// Persist implements raft.FSMSnapshot. One encoder goroutine: a snapshot must
// not take the cores from the work. After a restart the log brings events from the
// snapshot on: those before it are handed to the kernel first.
func (f frozen) Persist(sink raft.SnapshotSink) error {
	if err := f.write(sink); err != nil {
		return errors.Join(fmt.Errorf("write snapshot: %w", err), sink.Cancel())
	}
	if f.ring != nil {
		f.ring.Flush()
	}
	return sink.Close()
}

func (f frozen) write(w io.Writer) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(z, 256<<10)
	if _, err := f.s.WriteTo(b); err != nil {
		return errors.Join(err, z.Close())
	}
	return errors.Join(b.Flush(), z.Close())
}

// Release implements raft.FSMSnapshot.
func (frozen) Release() {}

// readSnapshot builds a table from a compressed snapshot.
func readSnapshot(r io.Reader) (*fsm.Machine, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return fsm.Restore(bufio.NewReaderSize(z, 256<<10))
}

// minTrailing is what least is.
const minTrailing = 128

// snapshotter takes snapshots by log bytes and by age.
type snapshotter struct {
	raft  *raft.Raft
	self  raft.ServerID
	store *logstore.Store
	log   *slog.Logger
	bytes int64
	age   time.Duration
	tail  int64
	least uint64 // entries that stay behind a snapshot whatever their size

	taken atomic.Uint64
}

// snapshotRetry is the pause after a snapshot that failed: the log is kept, so
// nothing is lost but space.
const snapshotRetry = 10 * time.Second

// run looks once a second until ctx ends.
func (s *snapshotter) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		behind := s.store.BytesSince(newestSnapshot(s.raft).Index)
		if behind < turnBytes(s.bytes, s.raft.GetConfiguration().Configuration().Servers, s.self) && (behind == 0 || time.Since(last) < s.age) {
			continue
		}
		if err := s.take(ctx); err != nil {
			if ctx.Err() == nil {
				s.log.Warn("snapshot not taken", slog.Any("err", err))
			}
			if !pause(ctx, snapshotRetry) {
				return
			}
			continue
		}
		last = time.Now()
	}
}

// turnBytes is how much log makes this member's next snapshot: an eighth less than for
// the member before it. All apply the same at the same time, and who writes a snapshot
// is slow to acknowledge and to take over from a leader that dies: one after the other
// leaves the others at full speed.
func turnBytes(bytes int64, members []raft.Server, self raft.ServerID) int64 {
	place := slices.IndexFunc(members, func(s raft.Server) bool { return s.ID == self })
	return bytes - int64(min(max(place, 0), 4))*(bytes/8)
}

// take makes one snapshot; Raft then compacts the log down to the tail.
func (s *snapshotter) take(ctx context.Context) error {
	rc := s.raft.ReloadableConfig()
	rc.TrailingLogs = max(s.store.TailEntries(s.tail), s.least)
	if err := s.raft.ReloadConfig(rc); err != nil {
		return err
	}
	start := time.Now()
	// Raft takes the wish for a snapshot only when the one before is done, which a hung
	// disk holds up for ever.
	if err := waitFor(ctx, func() error { return s.raft.Snapshot().Error() }); err != nil {
		return err
	}
	s.taken.Add(1)
	s.log.Info("snapshot taken", slog.Uint64("index", newestSnapshot(s.raft).Index), slog.Duration("dur", time.Since(start)))
	return nil
}

// waitFuture waits for a Raft future, which may never resolve, or for ctx.
func waitFuture(ctx context.Context, f raft.Future) error { return waitFor(ctx, f.Error) }

// waitFor waits for what may never return, or for ctx.
func waitFor(ctx context.Context, call func() error) error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pause waits d, or returns false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
