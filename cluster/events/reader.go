package events

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
)

// page is a run of records: all there are of the entries up to and including to.
type page struct {
	records []byte // valid until the reader goes on
	to      uint64
}

// reader reads pages one after the other.
type reader struct {
	ring *Ring
	next uint64 // entry

	chunk *chunk // in memory: where it read last
	at    int

	segment *segment // on disk: the same
	file    *os.File
	offset  int64
	buf     []byte
}

// read returns the next page. It waits until there is one. Errors: *CompactedError,
// ErrClosed, and ctx's.
func (x *reader) read(ctx context.Context) (page, error) {
	for {
		p, wait, err := x.try()
		if err != nil {
			return page{}, err
		}
		if wait == nil {
			return p, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return page{}, ctx.Err()
		}
	}
}

// always is closed: who waits for it looks again.
var always = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// try returns a page, or what to wait for.
func (x *reader) try() (page, <-chan struct{}, error) {
	r := x.ring
	r.mu.Lock()
	switch oldest := r.oldest(); {
	case r.closed:
		r.mu.Unlock()
		return page{}, nil, ErrClosed
	case x.next < oldest:
		r.mu.Unlock()
		r.refused.Add(1)
		return page{}, nil, &CompactedError{Oldest: oldest}
	case x.next > r.last:
		defer r.mu.Unlock()
		return page{}, r.wait(), nil
	case x.next >= r.chunks[0].from:
		c := r.chunkOf(x.next)
		p := page{c.data, c.to}
		r.mu.Unlock()
		return x.fromMemory(c, p), nil, nil
	}
	g, size := r.disk.segmentOf(x.next), int64(0)
	marks := g.marks
	size = g.size
	r.mu.Unlock()
	p, err := x.fromDisk(g, marks, size)
	switch {
	case err == nil:
		return p, nil, nil
	case !errors.Is(err, fs.ErrNotExist): // it was not just forgotten
		r.damaged(g, err)
	}
	return page{}, always, nil
}

// fromMemory cuts off what was read before.
func (x *reader) fromMemory(c *chunk, p page) page {
	if x.chunk != c {
		x.chunk, x.at = c, skipTo(p.records, x.next)
	}
	p.records = p.records[x.at:]
	x.at += len(p.records)
	x.next = p.to + 1
	x.closeFile()
	return p
}

// fromDisk reads the block with the next entry.
func (x *reader) fromDisk(g *segment, marks []mark, size int64) (page, error) {
	x.chunk = nil
	if x.segment != g {
		x.closeFile()
		f, err := os.Open(g.path)
		if err != nil {
			return page{}, err
		}
		x.segment, x.file, x.offset = g, f, 0
	}
	if x.offset == 0 {
		if marks == nil {
			if marks = x.index(g, size); marks == nil {
				return page{}, errDamaged
			}
		}
		x.offset = near(marks, x.next)
	}
	for {
		k, records, buf, err := readBlock(x.file, x.offset, size, x.buf)
		if x.buf = buf; err != nil {
			return page{}, err
		}
		x.offset += blockHead + int64(k.length)
		if k.to < x.next {
			continue
		}
		if k.from > x.next {
			return page{}, errDamaged
		}
		p := page{records[skipTo(records, x.next):], k.to}
		x.next = k.to + 1
		return p, nil
	}
}

// index looks for the places of a segment's blocks, nil when they are not what the
// ring believes.
func (x *reader) index(g *segment, size int64) []mark {
	to, end, marks := g.scan(x.file, size)
	x.ring.mu.Lock()
	defer x.ring.mu.Unlock()
	if to != g.to || end != size {
		return nil
	}
	g.marks = marks
	return marks
}

func (x *reader) closeFile() {
	if x.file != nil {
		_ = x.file.Close() // it was only read
		x.segment, x.file = nil, nil
	}
}

// segmentOf returns the segment that covers an entry; with Ring.mu held. There is one
// when the entry is not older than the ring, and not in memory.
func (d *disk) segmentOf(index uint64) *segment {
	for _, g := range d.segments {
		if index <= g.to {
			return g
		}
	}
	panic("the segments end before memory begins")
}

// damaged gives all segments up when one cannot be read.
func (r *Ring) damaged(g *segment, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.disk.segments, g) {
		r.cfg.Logger.Warn("segments of events dropped", slog.String("segment", g.path), slog.Any("err", err))
		r.disk.forget()
	}
}
