package turn

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestVirtualTimePasses: who waits for a Lock does not hold up the time that its
// holder waits for.
func TestVirtualTimePasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New()
		var held, got sync.WaitGroup
		n := 0
		l.Lock()
		for range 10 {
			got.Go(func() {
				l.Lock()
				defer l.Unlock()
				n++
			})
		}
		held.Go(func() {
			defer l.Unlock()
			time.Sleep(time.Hour)
			if n != 0 {
				t.Errorf("%d others were let in", n)
			}
		})
		held.Wait()
		got.Wait()
		if n != 10 {
			t.Errorf("%d of 10 had their turn", n)
		}
		if !l.TryLock() {
			t.Error("a lock that nobody holds is not to be had")
		}
		if l.TryLock() {
			t.Error("a lock was to be had twice")
		}
	})
}
