package client

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func take(t *testing.T, c *calls) number {
	t.Helper()
	n, err := c.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAckedBelowFollowsTheOldestCall(t *testing.T) {
	var c calls
	c.init()
	for want := uint64(1); want <= 5; want++ {
		if n := take(t, &c); n.seq != want {
			t.Fatalf("number %d, want %d", n.seq, want)
		}
	}
	for _, step := range []struct{ end, acked uint64 }{{2, 1}, {4, 1}, {1, 3}, {3, 5}, {5, 6}} {
		c.end(step.end)
		if got := c.ackedBelow(); got != step.acked {
			t.Fatalf("after the end of %d: acked below %d, want %d", step.end, got, step.acked)
		}
	}
}

// The ring of bits is used over and over.
func TestWindowWraps(t *testing.T) {
	var c calls
	c.init()
	for range 3 * window {
		a, b := take(t, &c), take(t, &c)
		c.end(b.seq)
		c.end(a.seq)
	}
	if got := c.ackedBelow(); got != 6*window+1 {
		t.Fatalf("acked below %d, want %d", got, 6*window+1)
	}
}

// One stuck call stops the others a window later: the table remembers no more.
func TestWindowBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c calls
		c.init()
		stuck := take(t, &c)
		for range window - 1 {
			c.end(take(t, &c).seq)
		}
		got := make(chan number)
		go func() { got <- take(t, &c) }()
		synctest.Wait()
		select {
		case n := <-got:
			t.Fatalf("number %d was given while 1 is under way", n.seq)
		default:
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errRepeatLimit)
		if _, err := c.begin(ctx); !errors.Is(err, errRepeatLimit) {
			t.Fatalf("got %v", err)
		}
		c.end(stuck.seq)
		if n := <-got; n.seq != window+1 {
			t.Fatalf("number %d, want %d", n.seq, window+1)
		}
	})
}

// The table forgets an idle client: a fresh id cannot be mistaken for it.
func TestIdleClientTakesAnotherID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c calls
		c.init()
		first := take(t, &c)
		time.Sleep(2 * idleLimit)
		second := take(t, &c)
		if second.seq != 2 || !bytes.Equal(second.client, first.client) {
			t.Fatal("the id changed under a call")
		}
		c.end(first.seq)
		c.end(second.seq)
		time.Sleep(idleLimit)
		if n := take(t, &c); n.seq != 3 {
			t.Fatal("the id changed too early")
		}
		c.end(3)
		time.Sleep(idleLimit + time.Second)
		if n := take(t, &c); n.seq != 1 || bytes.Equal(n.client, first.client) || len(n.client) != 16 {
			t.Fatalf("number %+v, want the first of another client", n)
		}
	})
}
