package events

import (
	"io"
	"log/slog"
	"os"
	"slices"
	"time"
)

const (
	// writeAfter is how long a few events wait for more before they are written.
	writeAfter = 200 * time.Millisecond
	// failPause is how long the disk is left alone after it failed.
	failPause = time.Minute
	// stopWithin bounds the wait for a disk that may hang.
	stopWithin = 2 * time.Second
)

// files is what a ring needs of the file system for writing; tests put faults in.
type files interface {
	open(path string) (file, error)
	remove(path string) error
}

type file interface {
	io.WriteCloser
	Truncate(size int64) error
	Seek(offset int64, whence int) (int64, error)
}

type osFiles struct{}

func (osFiles) open(path string) (file, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
}
func (osFiles) remove(path string) error { return os.Remove(path) }

// disk writes what the ring has in memory to segments, some time after. Its goroutine
// alone touches files; Ring.mu guards the rest.
type disk struct {
	r    *Ring
	bell chan struct{} // enough is there, or the first of it
	asks chan chan struct{}
	ends chan struct{}
	done chan struct{}

	segments []*segment // oldest first; they cover all entries from the first to written
	written  uint64
	partly   *chunk // of which so many bytes, and events, are written
	bytes    int
	events   int
	waiting  int      // bytes that are not written
	epoch    int      // counts how often everything was forgotten
	trash    []string // files to be removed
	failed   uint64

	// The goroutine's own.
	out  file // the newest segment; nil: the next block begins one
	seen int  // epoch that out is of
	buf  []byte
	rest time.Time // no writes before
}

func (d *disk) init(r *Ring) {
	d.r = r
	d.bell, d.asks = make(chan struct{}, 1), make(chan chan struct{})
	d.ends, d.done = make(chan struct{}), make(chan struct{})
}

func (d *disk) on() bool { return d.r.cfg.Dir != "" && d.r.cfg.DiskBytes > 0 }

func (d *disk) start() {
	if !d.on() {
		close(d.done)
		return
	}
	go d.run()
}

// stop has the rest written and waits, but not for a disk that hangs.
func (d *disk) stop() {
	close(d.ends)
	late := time.NewTimer(stopWithin)
	defer late.Stop()
	select {
	case <-d.done:
	case <-late.C:
		d.r.cfg.Logger.Warn("events not written: the disk does not answer", slog.String("dir", d.r.cfg.Dir))
	}
}

// grew says that so many bytes were appended; with mu held.
func (d *disk) grew(n int) {
	if d.waiting == 0 || d.waiting < chunkBytes && d.waiting+n >= chunkBytes {
		select {
		case d.bell <- struct{}{}:
		default:
		}
	}
	d.waiting += n
}

// forget gives all segments up: they end before a gap. With mu held, after the chunks
// were replaced.
func (d *disk) forget() {
	if len(d.segments) > 0 {
		d.failed++
	}
	for _, g := range d.segments {
		d.trash = append(d.trash, g.path)
	}
	d.segments, d.partly, d.bytes, d.events = nil, nil, 0, 0
	d.written, d.waiting = d.r.chunks[0].from-1, d.r.bytes
	d.epoch++
	select {
	case d.bell <- struct{}{}:
	default:
	}
}

// Flush writes what was appended so far, with the entries that had no events: then a
// crash of the process takes nothing of it. It returns when that is done, or has failed,
// or the disk does not answer within a moment.
func (r *Ring) Flush() {
	if !r.disk.on() {
		return
	}
	late := time.NewTimer(stopWithin)
	defer late.Stop()
	did := make(chan struct{})
	select {
	case r.disk.asks <- did:
	case <-r.disk.done:
		return
	case <-late.C:
		return
	}
	select {
	case <-did:
	case <-late.C:
	}
}

// run is the goroutine.
func (d *disk) run() {
	defer close(d.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-d.bell:
			d.r.mu.Lock()
			enough := d.waiting >= chunkBytes || len(d.trash) > 0
			d.r.mu.Unlock()
			if !enough {
				timer.Reset(writeAfter)
				continue
			}
			d.write(false)
		case <-timer.C:
			d.write(false)
		case did := <-d.asks:
			d.write(true)
			close(did)
		case <-d.ends:
			d.write(true)
			d.closeOut()
			return
		}
		if left := time.Until(d.rest); left > 0 {
			timer.Reset(left)
		}
	}
}

// write writes all that waits, block by block.
func (d *disk) write(cover bool) {
	d.clear()
	if time.Now().Before(d.rest) {
		return
	}
	for {
		b, ok := d.next(cover)
		if !ok {
			return
		}
		if err := d.put(b); err != nil {
			d.fail(err)
			return
		}
	}
}

// clear removes what was forgotten.
func (d *disk) clear() {
	d.r.mu.Lock()
	trash, epoch := d.trash, d.epoch
	d.trash = nil
	d.r.mu.Unlock()
	if epoch != d.seen {
		d.closeOut()
		d.seen = epoch
	}
	for _, path := range trash {
		if err := d.r.cfg.files.remove(path); err != nil && !os.IsNotExist(err) {
			d.r.cfg.Logger.Warn("segment of events not removed", slog.Any("err", err))
		}
	}
}

func (d *disk) closeOut() {
	if d.out != nil {
		_ = d.out.Close() // it is a cache: what is lost shows when it is read
		d.out = nil
	}
}

// piece is what becomes a block.
type piece struct {
	chunk    *chunk
	from, to uint64
	records  []byte
	events   int
	bytes    int // of the chunk, up to its end
	total    int // events of the chunk, up to its end
	epoch    int
}

// next returns what is to be written next. With cover, entries without events count.
func (d *disk) next(cover bool) (piece, bool) {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	if d.epoch != d.seen {
		return piece{}, false // the bell has rung
	}
	for _, c := range d.r.chunks {
		if c.to <= d.written {
			continue
		}
		p := piece{chunk: c, from: d.written + 1, to: c.to, records: c.data, events: c.events, bytes: len(c.data), total: c.events, epoch: d.epoch}
		if c == d.partly {
			p.records, p.events = c.data[d.bytes:], c.events-d.events
		}
		if len(p.records) == 0 && !cover {
			continue
		}
		return p, true
	}
	d.waiting = 0
	return piece{}, false
}

// put writes a block and lets readers see it.
func (d *disk) put(p piece) error {
	g, err := d.segmentFor(p.from)
	if err != nil {
		return err // a file without a block is dropped by the next load
	}
	d.buf = appendBlock(d.buf[:0], p.events, p.from, p.to, p.records)
	if _, err := d.out.Write(d.buf); err != nil {
		return err
	}
	if cap(d.buf) > 4*chunkBytes {
		d.buf = nil
	}
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	if d.epoch != p.epoch {
		return nil // forgotten meanwhile
	}
	if len(d.segments) == 0 || d.segments[len(d.segments)-1] != g {
		d.segments = append(d.segments, g)
	}
	g.marks = addMark(g.marks, p.from, g.size)
	g.size += blockHead + int64(len(p.records))
	g.to, d.written = p.to, p.to
	d.partly, d.bytes, d.events = p.chunk, p.bytes, p.total
	d.waiting = max(d.waiting-len(p.records), 0)
	d.bound()
	return nil
}

// segmentFor returns the segment that the block of an entry goes to; out is its file.
func (d *disk) segmentFor(from uint64) (*segment, error) {
	cfg := &d.r.cfg
	d.r.mu.Lock()
	var newest *segment
	if n := len(d.segments); n > 0 {
		newest = d.segments[n-1]
	}
	d.r.mu.Unlock()
	if newest != nil && newest.size < cfg.SegmentBytes {
		if d.out != nil {
			return newest, nil
		}
		out, err := cfg.files.open(newest.path)
		if err != nil {
			return nil, err
		}
		d.out = out
		_, err = out.Seek(newest.size, io.SeekStart)
		return newest, err
	}
	d.closeOut()
	path := segmentPath(cfg.Dir, from)
	out, err := cfg.files.open(path)
	if err != nil {
		return nil, err
	}
	d.out = out
	head := appendHeader(nil, cfg.Owner, from)
	if err := out.Truncate(0); err != nil {
		return nil, err
	}
	_, err = out.Write(head)
	return &segment{path: path, from: from, to: from - 1, begin: int64(len(head)), size: int64(len(head))}, err
}

// bound forgets the oldest segments beyond the bound; with mu held.
func (d *disk) bound() {
	sum := int64(0)
	for _, g := range d.segments {
		sum += g.size
	}
	n := 0
	for ; sum > d.r.cfg.DiskBytes && n < len(d.segments)-1; n++ {
		sum -= d.segments[n].size
		d.trash = append(d.trash, d.segments[n].path)
	}
	d.segments = slices.Delete(d.segments, 0, n)
}

// fail gives the segments up and leaves the disk alone for a while.
func (d *disk) fail(err error) {
	d.r.cfg.Logger.Warn("events not written: they are kept in memory only", slog.String("dir", d.r.cfg.Dir), slog.Any("err", err))
	d.rest = time.Now().Add(failPause)
	d.r.mu.Lock()
	if len(d.segments) == 0 {
		d.failed++
	}
	d.forget()
	d.r.mu.Unlock()
	d.clear()
}
