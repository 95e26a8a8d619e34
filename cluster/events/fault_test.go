package events

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// badDisk is a file system on which writes fail, or do not return, when told to.
type badDisk struct {
	osFiles
	fails atomic.Bool
	hang  chan struct{} // not nil: writes wait until it is closed
	stuck chan struct{}
}

type badFile struct {
	file
	disk *badDisk
}

func (d *badDisk) open(path string) (file, error) {
	f, err := d.osFiles.open(path)
	return &badFile{f, d}, err
}

func (f *badFile) Write(b []byte) (int, error) {
	if f.disk.fails.Load() {
		n, _ := f.file.Write(b[:len(b)/2])
		return n, syscall.ENOSPC
	}
	if f.disk.hang != nil {
		select {
		case f.disk.stuck <- struct{}{}:
		default:
		}
		<-f.disk.hang
	}
	return f.file.Write(b)
}

// TestFullDisk: the ring goes on in memory, without its segments, and comes back.
func TestFullDisk(t *testing.T) {
	disk := new(badDisk)
	cfg := small(t)
	cfg.files = disk
	synctest.Test(t, func(t *testing.T) {
		r := Open(cfg)
		defer r.Close()
		fill(r, 1, 2000)
		r.Flush()
		mustFollow(t, r, Cursor{}, 2000)
		disk.fails.Store(true)
		fill(r, 2001, 4000)
		r.Flush()
		if st := r.Stats(); st.SegmentsFailed == 0 || st.Segments != 0 || st.Last != 4000 {
			t.Fatalf("on a full disk: %+v", st)
		}
		oldest := compacted(t, r, 1)
		mustFollow(t, r, Cursor{Index: oldest}, 4000)
		disk.fails.Store(false)
		time.Sleep(failPause)
		fill(r, 4001, 4010)
		time.Sleep(failPause)
		if st := r.Stats(); st.Segments == 0 {
			t.Fatalf("when there is room again: %+v", st)
		}
		fill(r, 4011, 8000)
		r.Flush()
		mustFollow(t, r, Cursor{Index: oldest}, 8000)
	})
}

// TestHungDisk: nobody waits for it, and what it missed is compacted.
func TestHungDisk(t *testing.T) {
	disk := &badDisk{hang: make(chan struct{}), stuck: make(chan struct{}, 1)}
	cfg := small(t)
	cfg.files, cfg.MemoryBytes = disk, 256<<10
	r := Open(cfg)
	defer r.Close()
	fill(r, 1, 1000)
	<-disk.stuck
	fill(r, 1001, 8000) // far more than memory holds
	oldest := compacted(t, r, 1)
	mustFollow(t, r, Cursor{Index: oldest}, 8000)
	close(disk.hang)
	fill(r, 8001, 8100)
	r.Flush()
	mustFollow(t, r, Cursor{Index: oldest}, 8100)
	if st := r.Stats(); st.Segments == 0 {
		t.Errorf("after the disk came back: %+v", st)
	}
	r.Close()
	r = open(t, cfg)
	if got, last := r.Range(); got > oldest || last != 8100 {
		t.Errorf("opened with %d to %d, want %d to 8100", got, last, oldest)
	}
	if _, err := follow(t, r, Cursor{Index: oldest}, 8100); err != nil && !errors.As(err, new(*CompactedError)) {
		t.Error(err)
	}
}
