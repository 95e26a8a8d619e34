package transport

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/taskraft/taskraft/cluster/transport/transporttest"
)

func TestUnadoptedAnswersOnlyIdentify(t *testing.T) {
	ctx := within(t)
	n1, blank := listen(t, "n1/a", config()), listen(t, "", config())
	var from Caller
	if err := n1.Call(ctx, Peer{Addr: blank.Addr()}, "identify", struct{}{}, &from); err != nil {
		t.Fatal(err)
	}
	if want := (Caller{"n1/a", n1.Boot(), n1.Addr()}); from != want {
		t.Errorf("identify saw %+v, want %+v", from, want)
	}
	if err := blank.Call(ctx, Peer{Addr: n1.Addr()}, "identify", struct{}{}, &from); err != nil {
		t.Errorf("identify by a blank node: %v", err)
	}
	err := n1.Call(ctx, Peer{Addr: blank.Addr()}, "echo", text{"x"}, nil)
	if remote, ok := errors.AsType[*RemoteError](err); !ok || !remote.Unknown {
		t.Errorf("a members' method over identify: %v", err)
	}
	to := Peer{"n2/b", blank.Addr()}
	wantRefused(t, ping(ctx, n1, to), NotAdopted)
	_, err = n1.Watch(ctx, to)
	wantRefused(t, err, NotAdopted)
	_, _, err = n1.dial(ctx, KindRaft, to)
	wantRefused(t, err, NotAdopted)
	if err := ping(ctx, blank, n1.self()); !errors.Is(err, ErrNotAdopted) {
		t.Errorf("call by a blank node: %v", err)
	}
	if _, err := blank.Raft(nil); !errors.Is(err, ErrNotAdopted) {
		t.Errorf("raft on a blank node: %v", err)
	}

	if err := blank.Adopt(cluster1, "n2/b"); err != nil {
		t.Fatal(err)
	}
	if err := ping(ctx, n1, to); err != nil {
		t.Errorf("after adoption: %v", err)
	}
	_, _, err = n1.dial(ctx, KindRaft, to)
	wantRefused(t, err, NotReady)
	if err := blank.Adopt("c2", "n2/b"); err == nil {
		t.Error("adopted a second cluster")
	}
}

// TestServerRefusesStrangers: no wiped, foreign or misdirected
// master gets a connection.
func TestServerRefusesStrangers(t *testing.T) {
	n2 := listen(t, "n2/b", config())
	good := hello{KindPeer, cluster1, "n1/a", "n2/b", "boot1", "127.0.0.1:1"}
	for name, tc := range map[string]struct {
		change func(*hello)
		want   Reason
	}{
		"other cluster":      {func(h *hello) { h.cluster = "c2" }, WrongCluster},
		"no cluster":         {func(h *hello) { h.cluster = "" }, WrongCluster},
		"earlier life of n2": {func(h *hello) { h.callee = "n2/a" }, WrongServer},
		"other callee":       {func(h *hello) { h.callee = "n3/c" }, WrongServer},
		"no caller":          {func(h *hello) { h.caller = "" }, WrongServer},
		"claims to be n2":    {func(h *hello) { h.caller = "n2/b" }, Duplicate},
	} {
		for _, kind := range []Kind{KindRaft, KindPeer, KindWatch} {
			h := good
			h.kind = kind
			tc.change(&h)
			c, a := rawHello(t, n2.Addr(), h)
			if want := (answer{tc.want, cluster1, "n2/b", n2.Boot()}); a != want {
				t.Errorf("%s, %s: answered %+v, want %+v", name, kind, a, want)
			}
			wantEnd(t, c)
		}
	}
	if _, a := rawHello(t, n2.Addr(), good); a.reason != 0 {
		t.Errorf("a good hello was refused: %+v", a)
	}
}

// TestCallerRefusesStrangers: the caller checks too, whatever the callee accepts.
func TestCallerRefusesStrangers(t *testing.T) {
	for name, tc := range map[string]struct {
		answer answer
		want   Reason
	}{
		"other cluster": {answer{0, "c2", "n2/b", "x"}, WrongCluster},
		"other server":  {answer{0, cluster1, "n2/wiped", "x"}, WrongServer},
		"blank":         {answer{0, "", "", "x"}, WrongCluster},
	} {
		var heard *RefusedError
		cfg := config()
		cfg.OnRefused = func(e *RefusedError) { heard = e }
		n1 := listen(t, "n1/a", cfg)
		addr := fakePeer(t, func(c net.Conn) {
			_, _ = readHello(c)
			_ = tc.answer.write(c)
			wantEnd(t, c)
		})
		err := ping(within(t), n1, Peer{"n2/b", addr})
		wantRefused(t, err, tc.want)
		if heard == nil || heard.Reason != tc.want || heard.ServerID != tc.answer.server {
			t.Errorf("%s: OnRefused heard %+v", name, heard)
		}
	}
}

// fakePeer serves each connection with f; the test waits for all of them.
func fakePeer(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			f(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String()
}

func TestGarbageAndSilenceEnd(t *testing.T) {
	cfg := config()
	cfg.HandshakeTimeout = 50 * time.Millisecond
	n1 := listen(t, "n1/a", cfg)
	for _, in := range []string{"", "GET / HTTP/1.1\r\n\r\n", magic, "\x00"} {
		c, err := net.Dial("tcp", n1.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(in)); err != nil {
			t.Fatal(err)
		}
		wantEnd(t, c)
		c.Close()
	}
	c, err := net.Dial("tcp", n1.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(magic + "\x63\x01\x00\x01z")); err != nil {
		t.Fatal(err)
	}
	if a, err := readAnswer(c); err != nil || a.reason != WrongVersion {
		t.Errorf("version 99 was answered %+v, %v", a, err)
	}
	silent := fakePeer(t, func(c net.Conn) { _, _ = readHello(c); wantEnd(t, c) })
	if err := ping(within(t), n1, Peer{"n2/b", silent}); err == nil {
		t.Error("call of a peer that never answers the hello succeeded")
	}
}

// TestSecondProcessIsRefused: B12.
func TestSecondProcessIsRefused(t *testing.T) {
	ctx := within(t)
	n2 := listen(t, "n2/b", config())
	n1 := listen(t, "n1/a", config())
	if err := ping(ctx, n1, n2.self()); err != nil {
		t.Fatal(err)
	}
	var heard *RefusedError
	cfg := config()
	cfg.OnRefused = func(e *RefusedError) { heard = e }
	clone := listen(t, "n1/a", cfg)
	wantRefused(t, ping(ctx, clone, n2.self()), Duplicate)
	_, err := clone.Watch(ctx, n2.self())
	wantRefused(t, err, Duplicate)
	if heard == nil || heard.Reason != Duplicate {
		t.Errorf("OnRefused heard %+v", heard)
	}
	if err := ping(ctx, n1, n2.self()); err != nil {
		t.Errorf("the original lost its connection: %v", err)
	}
	wantRefused(t, ping(ctx, clone, n1.self()), Duplicate)
	if err := ping(ctx, n1, n1.self()); err != nil {
		t.Errorf("a master that calls itself: %v", err)
	}
	if err := n1.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ping(ctx, clone, n2.self()); err != nil {
		t.Errorf("after the end of the original: %v", err)
	}
}

// TestRestartReplacesDeadProcess: connections of a process that no longer runs
// do not keep its successor out, even when their end was never heard of.
func TestRestartReplacesDeadProcess(t *testing.T) {
	n2, n1 := listen(t, "n2/b", config()), listen(t, "n1/a", config())
	dead, a := rawHello(t, n2.Addr(), hello{KindWatch, cluster1, "n1/a", "n2/b", "before", n1.Addr()})
	if a.reason != 0 {
		t.Fatalf("refused: %+v", a)
	}
	if err := ping(within(t), n1, n2.self()); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, dead)
}

func TestIsolateAndResume(t *testing.T) {
	ctx := within(t)
	n1, n2, n3 := listen(t, "n1/a", config()), listen(t, "n2/b", config()), listen(t, "n3/c", config())
	for _, pair := range [][2]*Port{{n1, n2}, {n2, n1}} {
		if err := ping(ctx, pair[0], pair[1].self()); err != nil {
			t.Fatal(err)
		}
	}
	w, err := n3.Watch(ctx, n1.self())
	if err != nil {
		t.Fatal(err)
	}
	own, err := n1.Watch(ctx, n3.self())
	if err != nil {
		t.Fatal(err)
	}
	n1.Isolate()
	n1.Isolate()
	if d, err := w.Wait(ctx); err != nil || d.How != Gone {
		t.Errorf("watch of an isolated node: %+v, %v; want gone", d, err)
	}
	if d, err := own.Wait(ctx); err == nil {
		t.Errorf("an isolated node observed %+v", d)
	}
	if err := ping(ctx, n1, n2.self()); !errors.Is(err, ErrIsolated) {
		t.Errorf("call by an isolated node: %v", err)
	}
	eventually(t, "calls to the isolated node are refused", func() bool {
		return errors.Is(ping(ctx, n2, n1.self()), syscall.ECONNREFUSED)
	})
	if err := n1.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := n1.Resume(); err == nil {
		t.Error("resumed twice")
	}
	if err := ping(ctx, n2, n1.self()); err != nil {
		t.Errorf("call after resume: %v", err)
	}
	if err := ping(ctx, n1, n2.self()); err != nil {
		t.Errorf("call by the resumed node: %v", err)
	}
}

func TestRejectedDial(t *testing.T) {
	ctx := within(t)
	var faults transporttest.Net
	cfg := config()
	cfg.Dial = faults.Dial
	n1, n2 := listen(t, "n1/a", cfg), listen(t, "n2/b", config())
	w, err := n1.Watch(ctx, n2.self())
	if err != nil {
		t.Fatal(err)
	}
	faults.Reject(n2.Addr())
	// One follower alone cannot tell this from a death; the node asks the others.
	if d, err := w.Wait(ctx); err != nil || d.How != Gone {
		t.Errorf("watch through a rejecting firewall: %+v, %v", d, err)
	}
	faults.Allow(n2.Addr())
	if err := ping(ctx, n1, n2.self()); err != nil {
		t.Errorf("after the firewall: %v", err)
	}
}

func TestClosedPort(t *testing.T) {
	n1, n2 := listen(t, "n1/a", config()), listen(t, "n2/b", config())
	if err := n1.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n1.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if err := ping(within(t), n1, n2.self()); !errors.Is(err, ErrClosed) {
		t.Errorf("call: %v", err)
	}
	for name, err := range map[string]error{"listen": n1.Listen(), "resume": n1.Resume()} {
		if err == nil {
			t.Errorf("%s after close", name)
		}
	}
	if _, err := New(Config{Bind: "nonsense"}); err == nil {
		t.Error("a bind address without a port was accepted")
	}
}
