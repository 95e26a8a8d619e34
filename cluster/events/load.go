package events

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
)

// load takes in the segments that fit together, removes the others, and returns the
// last entry that they cover.
func (d *disk) load() uint64 {
	cfg := &d.r.cfg
	err := os.MkdirAll(cfg.Dir, 0o700)
	var entries []os.DirEntry
	if err == nil {
		entries, err = os.ReadDir(cfg.Dir) // sorted by name, which is by entry
	}
	if err != nil {
		cfg.Logger.Warn("events are kept in memory only", slog.String("dir", cfg.Dir), slog.Any("err", err))
		return 0
	}
	var good []*segment
	for _, e := range slices.Backward(entries) {
		from, ours := segmentFrom(e.Name())
		if !ours {
			continue
		}
		path := filepath.Join(cfg.Dir, e.Name())
		g, err := openSegment(path, cfg.Owner, from)
		switch {
		case err != nil:
		case len(good) == 0:
			if err = g.cutTail(); err == nil && g.to < g.from {
				err = errDamaged // not one block is whole
			}
		default:
			g.to = good[len(good)-1].from - 1
		}
		if err != nil {
			cfg.Logger.Warn("segment of events dropped", slog.String("segment", path), slog.Any("err", err))
			d.trash = append(d.trash, path)
			if len(good) > 0 {
				break // what is older has a gap behind it
			}
			continue
		}
		good = append(good, g)
	}
	d.dropOlder(entries, good)
	slices.Reverse(good)
	d.segments = good
	if len(good) > 0 {
		d.written = good[len(good)-1].to
	}
	return d.written
}

// dropOlder has files removed that lie before a gap.
func (d *disk) dropOlder(entries []os.DirEntry, good []*segment) {
	if len(good) == 0 {
		return
	}
	for _, e := range entries {
		path := filepath.Join(d.r.cfg.Dir, e.Name())
		if from, ours := segmentFrom(e.Name()); ours && from < good[len(good)-1].from && !slices.Contains(d.trash, path) {
			d.trash = append(d.trash, path)
		}
	}
}

// cutTail finds the last whole block of the newest segment.
func (g *segment) cutTail() error {
	f, err := os.OpenFile(g.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	to, end, marks := g.scan(f, g.size)
	if end < g.size {
		err = f.Truncate(end)
	}
	g.to, g.size, g.marks = to, end, marks
	return err
}
