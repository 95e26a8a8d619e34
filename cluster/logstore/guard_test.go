package logstore

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/datadir"
)

// fatal collects what OnFatal was told and checks that it is told once.
type fatal struct {
	t    testing.TB
	errs chan error
}

func newFatal(t testing.TB) *fatal { return &fatal{t: t, errs: make(chan error, 8)} }

func (f *fatal) report(err error) { f.errs <- err }

func (f *fatal) wait() error {
	f.t.Helper()
	err := <-f.errs
	select {
	case again := <-f.errs:
		f.t.Errorf("a second fatal error: %v", again)
	default:
	}
	return err
}

// blocks runs a call that must report a fatal error and come back only when the
// store is closed.
func (f *fatal) blocks(call func() error, s *Store) {
	f.t.Helper()
	done := make(chan error, 1)
	go func() { done <- call() }()
	err := <-f.errs
	select {
	case err := <-done:
		f.t.Errorf("returned %v before the store was closed", err)
	default:
	}
	if err := s.Close(); err != nil {
		f.t.Errorf("close: %v", err)
	}
	if err := <-done; !errors.Is(err, ErrClosed) {
		f.t.Errorf("returned %v, want ErrClosed", err)
	}
	f.errs <- err // for wait
}

// hangs is a store whose writes hang while gate is set, in a synctest bubble.
type hangs struct {
	*Store
	gate  chan struct{}
	began time.Time

	mu     sync.Mutex
	events []string
}

func newHangs(t *testing.T) *hangs {
	h := &hangs{began: time.Now()}
	say := func(format string, args ...any) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.events = append(h.events, fmt.Sprintf("%v ", time.Since(h.began))+fmt.Sprintf(format, args...))
	}
	h.Store = owned(t, Config{
		BeforeWrite: func() error {
			if h.gate != nil {
				<-h.gate
			}
			return nil
		},
		OnHang:   func(err error) { say("hang: %s", last(err)) },
		OnResume: func(d time.Duration) { say("resume after %v", d) },
		OnFatal:  func(err error) { say("fatal: %s", last(err)) },
	})
	return h
}

// last cuts the path off an error's text.
func last(err error) string {
	e, _ := errors.AsType[*datadir.Error](err)
	return e.Err.Error()
}

func (h *hangs) want(t *testing.T, want ...string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if diff := cmp.Diff(want, h.events); diff != "" {
		t.Error(diff)
	}
}

func TestSlowWriteIsNoHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHangs(t)
		h.gate = make(chan struct{})
		time.AfterFunc(1900*time.Millisecond, func() { close(h.gate) })
		if err := h.StoreLog(entry(1, 10)); err != nil {
			t.Fatal(err)
		}
		h.want(t)
	})
}

func TestHangAndResume(t *testing.T) { eachKind(t, testHangAndResume) }

func testHangAndResume(t *testing.T) {
	for _, hung := range []time.Duration{3 * time.Second, 29 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			h := newHangs(t)
			h.gate = make(chan struct{})
			time.AfterFunc(hung, func() { close(h.gate) })
			time.AfterFunc(2500*time.Millisecond, func() {
				if !h.Stats().Hung {
					t.Error("stats do not show the hang")
				}
			})
			if err := h.StoreLog(entry(1, 10)); err != nil {
				t.Fatal(err)
			}
			h.want(t, "2s hang: store entries: log store write exceeded 2s", fmt.Sprintf("%v resume after %v", hung, hung))
			if h.Stats().Hung {
				t.Error("stats still show the hang")
			}
			wantLog(t, h.Store, 1, 1, 10)
			fill(t, h.Store, 2, 9, 10) // as if nothing had been
		})
	}
}

// TestTwoHungWrites: the disk is back when both are.
func TestTwoHungWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHangs(t)
		h.gate = make(chan struct{})
		time.AfterFunc(4*time.Second, func() { h.gate <- struct{}{} })
		time.AfterFunc(7*time.Second, func() { h.gate <- struct{}{} })
		done := make(chan error)
		go func() { done <- h.StoreLog(entry(1, 10)) }()
		go func() { done <- h.Set([]byte("k"), []byte("v")) }()
		if err := errors.Join(<-done, <-done); err != nil {
			t.Fatal(err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.events) != 2 || !strings.HasPrefix(h.events[0], "2s hang") || h.events[1] != "7s resume after 7s" {
			t.Errorf("events %q", h.events)
		}
	})
}

// TestHangLimit is B16: after 30 s the node exits, and the write is never
// acknowledged, even if it comes back.
func TestHangLimit(t *testing.T) { eachKind(t, testHangLimit) }

func testHangLimit(t *testing.T) {
	t.Run("B16", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newHangs(t)
			h.gate = make(chan struct{})
			done := make(chan error, 1)
			go func() { done <- h.StoreLog(entry(1, 10)) }()
			time.Sleep(40 * time.Second)
			if err := h.Close(); err == nil || !strings.Contains(err.Error(), "a write has not come back") {
				t.Errorf("close = %v", err)
			}
			close(h.gate)
			if err := <-done; !errors.Is(err, ErrClosed) {
				t.Errorf("a write past the limit returned %v", err)
			}
			h.want(t,
				"2s hang: store entries: log store write exceeded 2s",
				"30s fatal: store entries: log store write exceeded 30s: check the disk")
			if err := h.db.Close(); err != nil {
				t.Error(err)
			}
		})
	})
}

// TestLateReturn: a write that comes back after the limit, before Close, blocks.
func TestLateReturn(t *testing.T) { eachKind(t, testLateReturn) }

func testLateReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHangs(t)
		h.gate = make(chan struct{})
		time.AfterFunc(31*time.Second, func() { close(h.gate) })
		done := make(chan error, 1)
		go func() { done <- h.StoreLog(entry(1, 10)) }()
		time.Sleep(60 * time.Second)
		select {
		case err := <-done:
			t.Errorf("a write past the limit returned %v", err)
		default:
		}
		h.want(t,
			"2s hang: store entries: log store write exceeded 2s",
			"30s fatal: store entries: log store write exceeded 30s: check the disk")
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		<-done
	})
}

// TestHungWriteFails: it does not resume first.
func TestHungWriteFails(t *testing.T) { eachKind(t, testHungWriteFails) }

func testHungWriteFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHangs(t)
		h.cfg.BeforeWrite = func() error {
			time.Sleep(5 * time.Second)
			return syscall.EIO
		}
		done := make(chan error, 1)
		go func() { done <- h.StoreLog(entry(1, 10)) }()
		time.Sleep(10 * time.Second)
		h.want(t,
			"2s hang: store entries: log store write exceeded 2s",
			"5s fatal: store entries: input/output error")
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		<-done
	})
}

// TestStoppedProcess: time in which the process did not run is not the disk's.
func TestStoppedProcess(t *testing.T) {
	g := newGuard(&Config{
		WriteDeadline: 2 * time.Second, HangLimit: 30 * time.Second,
		OnHang: func(err error) { t.Errorf("hang: %v", err) }, OnFatal: func(err error) { t.Errorf("fatal: %v", err) },
	})
	w := g.watch("store entries")
	g.mu.Lock()
	w.last = w.last.Add(-time.Hour) // the previous check was an hour ago
	g.mu.Unlock()
	w.check()
	w.finish(nil)
}

// TestWriteErrors are B14 and B15: any failed write is the last.
func TestWriteErrors(t *testing.T) { eachKind(t, testWriteErrors) }

func testWriteErrors(t *testing.T) {
	calls := map[string]func(*Store) error{
		"StoreLog":    func(s *Store) error { return s.StoreLog(entry(11, 10)) },
		"StoreLogs":   func(s *Store) error { return s.StoreLogs([]*raft.Log{entry(11, 10), entry(12, 10)}) },
		"DeleteRange": func(s *Store) error { return s.DeleteRange(1, 5) },
		"Set":         func(s *Store) error { return s.Set([]byte("k"), []byte("v")) },
		"SetUint64":   func(s *Store) error { return s.SetUint64(keyCurrentTerm, 3) },
		"vote": func(s *Store) error {
			if err := s.SetUint64(keyVoteTerm, 3); err != nil {
				return err
			}
			return s.Set(keyVoteCand, []byte("n2"))
		},
	}
	for id, fault := range map[string]func() error{
		"B14/ENOSPC": func() error { return syscall.ENOSPC },
		"B15/EDQUOT": func() error { return syscall.EDQUOT },
		"B15/EIO":    func() error { return syscall.EIO },
		"B15/EROFS":  func() error { return syscall.EROFS },
		"B15/panic":  func() error { panic("page 7 already freed") },
	} {
		for name, call := range calls {
			t.Run(id+"/"+name, func(t *testing.T) {
				f := newFatal(t)
				s := owned(t, Config{OnFatal: f.report})
				fill(t, s, 1, 10, 10)
				s.cfg.BeforeWrite = fault
				f.blocks(func() error { return call(s) }, s)
				err := f.wait()
				wantError(t, err, datadir.Disk, s.cfg.Path)
				if id != "B15/panic" && !errors.Is(err, fault()) {
					t.Errorf("fatal = %v, want %v in it", err, fault())
				}
				s.cfg.BeforeWrite = nil
				s.cfg.OnFatal = nil
				again := mustOpen(t, s.cfg)
				if name != "DeleteRange" {
					wantLog(t, again, 1, 10, 10)
				}
				wantVote(t, again, 0, "")
			})
		}
	}
}

// TestNothingAfterFailure: no call gets through any more, none is answered.
func TestNothingAfterFailure(t *testing.T) { eachKind(t, testNothingAfterFailure) }

func testNothingAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFatal(t)
		s := owned(t, Config{OnFatal: f.report})
		fill(t, s, 1, 10, 10)
		writes := s.Stats().Writes
		s.cfg.BeforeWrite = func() error { return syscall.EIO }
		calls := []func() error{
			func() error { return s.StoreLog(entry(11, 10)) },
			func() error { return s.StoreLog(entry(11, 10)) },
			func() error { return s.DeleteRange(1, 3) },
			func() error { return s.GetLog(10, new(raft.Log)) },
			func() error { return s.Set([]byte("k"), nil) },
			func() error { return s.SetUint64(keyVoteTerm, 9) },
			func() error { _, err := s.Get(keyVoteCand); return err },
			func() error { _, err := s.GetUint64(keyCurrentTerm); return err },
		}
		done := make(chan error, len(calls))
		for i, call := range calls {
			go func() { done <- call() }()
			synctest.Wait()
			if i == 0 {
				s.cfg.BeforeWrite = func() error { return nil } // the disk is well again: too late
			}
		}
		if len(done) > 0 {
			t.Errorf("%d calls were answered, first %v", len(done), <-done)
		}
		wantError(t, f.wait(), datadir.Disk, "input/output error")
		if got := s.Stats().Writes; got != writes {
			t.Errorf("%d writes after the failure", got-writes)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for range calls {
			if err := <-done; !errors.Is(err, ErrClosed) {
				t.Errorf("returned %v, want ErrClosed", err)
			}
		}
	})
}

func TestClosed(t *testing.T) { eachKind(t, testClosed) }

func testClosed(t *testing.T) {
	s := owned(t, Config{CacheEntries: 1, OnFatal: func(err error) { t.Errorf("fatal: %v", err) }})
	fill(t, s, 1, 3, 10)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		s.StoreLog(entry(4, 1)), s.GetLog(1, new(raft.Log)), s.Set([]byte("k"), nil), s.DeleteRange(1, 2),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("error = %v, want ErrClosed", err)
		}
	}
}
