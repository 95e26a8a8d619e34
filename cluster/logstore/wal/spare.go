package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// spare is the file that the next segment is made of, allocated beforehand: an
// append that fills a segment does not wait for the file system to find room.
type spare struct {
	wg sync.WaitGroup

	mu      sync.Mutex
	size    int64 // 0: there is none
	putting bool  // a file has the spare's name, which is not durable yet
}

// take returns the path of a file of that size, which is the caller's: the spare,
// or one made now.
func (s *spare) take(dir string, size int64) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := filepath.Join(dir, begunName)
	if s.size != size {
		return path, makeSpare(path, size)
	}
	s.size = 0
	if err := os.Rename(filepath.Join(dir, spareName), path); err != nil {
		return "", fmt.Errorf("begin log segment: %w", err)
	}
	return path, nil
}

// prepare makes a spare in the background. Nobody hears of a failure: take tries
// again, where it can be told.
func (s *spare) prepare(dir string, size int64) {
	s.wg.Go(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.size == 0 && !s.putting && makeSpare(filepath.Join(dir, spareName), size) == nil {
			s.size = size
		}
	})
}

// put keeps the file of a segment that is not needed any more as the spare, or
// removes it. A spare must not come back under its old name: with the next segment's
// header in it, it would be damage. So its name is durable before it gets one. Nobody
// may take it meanwhile.
func (s *spare) put(dir string, old *segment, size int64, syncNames func() error) error {
	kept, err := s.keep(filepath.Join(dir, segmentName(old.number)), dir, old.size == size)
	if !kept || err != nil {
		return err
	}
	err = syncNames() // without the lock: others ask for the size
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putting = false
	if err == nil {
		s.size = size
	}
	return err
}

// keep gives a file the spare's name if it is wanted and there is no spare, or removes it.
func (s *spare) keep(path, dir string, wanted bool) (kept bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size != 0 || !wanted {
		return false, os.Remove(path)
	}
	err = os.Rename(path, filepath.Join(dir, spareName))
	s.putting = err == nil
	return s.putting, err
}

func (s *spare) wait() { s.wg.Wait() }

func (s *spare) bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

func makeSpare(path string, size int64) (err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make log segment: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make log segment: %w", err)
	}
	err = allocate(f, size)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("make log segment: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}
