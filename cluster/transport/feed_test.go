package transport

import (
	"bytes"
	"strings"
	"testing"
)

// fed opens a port whose feed messages arrive on the channel, and one to feed it.
func fed(t *testing.T) (from, to *Port, got chan string) {
	t.Helper()
	got = make(chan string)
	c := config()
	c.OnFeed = func(from Caller, b []byte) {
		select {
		case got <- from.ID + ": " + string(b):
		case <-t.Context().Done():
		}
	}
	return listen(t, "n1/a", config()), listen(t, "n2/b", c), got
}

func TestFeed(t *testing.T) {
	from, to, got := fed(t)
	f, err := from.Feed(within(t), to.self())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"one", "", strings.Repeat("x", 70_000)} {
		sent := make(chan error, 1)
		go func() { sent <- f.Send(append(BeginFeed(nil), m...)) }()
		if s := <-got; s != "n1/a: "+m {
			t.Errorf("got %.40q, want %.40q", s, m)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
}

// A peer that does not read must not hold up the sender, which is about to write
// its log; nor does the sender go on in the middle of a message.
func TestFeedDoesNotWait(t *testing.T) {
	from, to, _ := fed(t) // nobody takes what arrives
	f, err := from.Feed(within(t), to.self())
	if err != nil {
		t.Fatal(err)
	}
	b := append(BeginFeed(nil), bytes.Repeat([]byte("x"), MaxFeed)...)
	for n := 0; err == nil; n++ {
		if n > 100 {
			t.Fatal("100 MiB went to a peer that reads nothing")
		}
		err = f.Send(b)
	}
	if err := f.Send(b[:feedHead]); err == nil {
		t.Error("half a message went out, and the feed takes the next one")
	}
}

func TestFeedIsRefused(t *testing.T) {
	from, to, _ := fed(t)
	_, err := from.Feed(within(t), Peer{ID: "n3/c", Addr: to.Addr()})
	wantRefused(t, err, WrongServer)
}
