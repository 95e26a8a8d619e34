package main

import (
	"context"
	"fmt"

	"github.com/taskraft/taskraft/internal/proc"
)

// queues spreads the batched load over a hundred queues instead of one.
func (b *bench) queues(ctx context.Context) error {
	for _, n := range []int{1, 100} {
		err := b.with(ctx, 3, nil, func(ctx context.Context, c *proc.Cluster) error {
			cfg := b.batched(c)
			cfg.Queues = n
			o, err := b.put(ctx, c, cfg)
			if err == nil {
				b.note(fmt.Sprintf("lifecycles/s in %d queues", n), o.perSecond, "/s")
				b.note(fmt.Sprintf("masters' CPU per lifecycle in %d queues", n), float64(o.cost)/1e3, "µs")
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// payloads gives the tasks other sizes; a call carries at most 256 KiB or one task.
func (b *bench) payloads(ctx context.Context) error {
	sizes := []struct {
		name  string
		bytes int
	}{{"64 B", 64}, {"256 B", 256}, {"4 KiB", 4 << 10}, {"64 KiB", 64 << 10}, {"1 MiB", 1 << 20}}
	if b.short {
		sizes = sizes[2:3]
	}
	for _, size := range sizes {
		err := b.with(ctx, 3, nil, func(ctx context.Context, c *proc.Cluster) error {
			cfg := b.batched(c)
			cfg.Payload = size.bytes
			cfg.Batch = max(1, min(cfg.Batch, 256<<10/size.bytes))
			cfg.Slots = max(32, min(cfg.Slots, 8*cfg.Batch))
			o, err := b.put(ctx, c, cfg)
			if err == nil {
				b.note("lifecycles/s of "+size.name, o.perSecond, "/s")
				b.note("payload of "+size.name, o.perSecond*float64(size.bytes)/(1<<20), "MiB/s")
				b.note("submit p99 of "+size.name, millis(o.Submits.Quantile(0.99)), "ms")
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// masters compares clusters of different sizes.
func (b *bench) masters(ctx context.Context) error {
	sizes := []int{1, 3, 5}
	if b.short {
		sizes = sizes[:1]
	}
	for _, n := range sizes {
		err := b.with(ctx, n, nil, func(ctx context.Context, c *proc.Cluster) error {
			o, err := b.put(ctx, c, b.batched(c))
			if err != nil {
				return err
			}
			b.note(fmt.Sprintf("batched lifecycles/s, masters: %d", n), o.perSecond, "/s")
			if o, err = b.put(ctx, c, b.single(c)); err != nil {
				return err
			}
			b.note(fmt.Sprintf("one per call, lifecycles/s, masters: %d", n), o.perSecond, "/s")
			b.note(fmt.Sprintf("one per call, submit p50, masters: %d", n), millis(o.Submits.Quantile(0.5)), "ms")
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
