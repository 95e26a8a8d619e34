package transport

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/taskraft/taskraft/cluster/transport/transporttest"
)

// observation is what Wait returned.
type observation struct {
	death Death
	err   error
}

func observe(t *testing.T, p *Port, to Peer) (*Watch, <-chan observation) {
	t.Helper()
	w, err := p.Watch(within(t), to)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan observation, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d, err := w.Wait(ctx)
		seen <- observation{d, err}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w, seen
}

func wantDeath(t *testing.T, seen <-chan observation, want Death) {
	t.Helper()
	select {
	case o := <-seen:
		if o.err != nil || o.death != want {
			t.Errorf("observed %+v, %v; want %+v", o.death, o.err, want)
		}
	case <-within(t).Done():
		t.Errorf("not observed: %+v", want)
	}
}

// gate lets dials pass only after open; the first one always passes.
func gate(cfg *Config) (open func()) {
	var n transporttest.Net
	opened := make(chan struct{})
	cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
		if n.Dials(addr) > 0 {
			<-opened
		}
		return n.Dial(ctx, addr)
	}
	return func() { close(opened) }
}

func TestWatchSeesKill(t *testing.T) {
	n1 := listen(t, "n1/a", config())
	cmd, to := process(t, "127.0.0.1:0")
	w, seen := observe(t, n1, to)
	start := time.Now()
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wantDeath(t, seen, Death{to, w.Boot(), Gone})
	t.Logf("kill -9 seen after %s", time.Since(start))
}

func TestWatchSeesRestartInPlace(t *testing.T) {
	cfg := config()
	open := gate(&cfg)
	n1 := listen(t, "n1/a", cfg)
	cmd, to := process(t, "127.0.0.1:0")
	w, seen := observe(t, n1, to)
	kill(cmd)
	_, again := process(t, to.Addr)
	if again != to {
		t.Fatalf("restarted as %s, want %s", again, to)
	}
	open() // the watcher was too slow to see the gap
	wantDeath(t, seen, Death{to, w.Boot(), Restarted})
}

// TestWatchAwaitsIdentityOfRestarted: a process that has not read its identity
// yet is nobody; it is asked again.
func TestWatchAwaitsIdentityOfRestarted(t *testing.T) {
	cfg := config()
	open := gate(&cfg)
	asked := make(chan struct{}, 1000)
	cfg.OnRefused = func(e *RefusedError) {
		if e.Reason == NotAdopted {
			asked <- struct{}{}
		}
	}
	n1, n2 := listen(t, "n1/a", cfg), listen(t, "n2/b", config())
	to := n2.self()
	_, seen := observe(t, n1, to)
	n2.Close()
	again := listen(t, "", Config{Bind: to.Addr})
	open()
	<-asked
	if err := again.Adopt(cluster1, to.ID); err != nil {
		t.Fatal(err)
	}
	wantDeath(t, seen, Death{to, n2.Boot(), Restarted})
}

// TestFrozenProcessIsNotDead: SIGSTOP is for the timers to find.
func TestFrozenProcessIsNotDead(t *testing.T) {
	ctx := within(t)
	n1 := listen(t, "n1/a", config())
	cmd, to := process(t, "127.0.0.1:0")
	w, seen := observe(t, n1, to)
	if err := ping(ctx, n1, to); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus // its threads stop one by one: wait for the last
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("not stopped: %v, status %x", err, status)
	}
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if err := ping(short, n1, to); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("call of a frozen process: %v", err)
	}
	select {
	case o := <-seen:
		t.Errorf("observed %+v, %v of a frozen process", o.death, o.err)
	default:
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := ping(ctx, n1, to); err != nil {
		t.Errorf("after SIGCONT: %v", err)
	}
	kill(cmd)
	wantDeath(t, seen, Death{to, w.Boot(), Gone})
}

// TestSameProcessIsWatchedOn: a connection may end for other reasons.
func TestSameProcessIsWatchedOn(t *testing.T) {
	var faults transporttest.Net
	cfg := config()
	cfg.Dial = faults.Dial
	n1, n2 := listen(t, "n1/a", cfg), listen(t, "n2/b", config())
	_, seen := observe(t, n1, n2.self())
	watched := func(c *conn) bool { return c.kind == KindWatch }
	n2.closeConns(watched)
	eventually(t, "watched again", func() bool {
		n2.mu.Lock()
		defer n2.mu.Unlock()
		for c := range n2.conns {
			if watched(c) {
				return true
			}
		}
		return false
	})
	faults.Drop(n2.Addr())
	faults.Allow(n2.Addr()) // the connection reads a reset
	eventually(t, "dialled again", func() bool { return faults.Dials(n2.Addr()) >= 3 })
	select {
	case o := <-seen:
		t.Fatalf("observed %+v, %v", o.death, o.err)
	default:
	}
	n2.Close()
	wantDeath(t, seen, Death{Peer{"n2/b", n2.Addr()}, n2.Boot(), Gone})
}

// TestUnclearEndIsNotDeath: who does not answer, or answers as somebody else, is
// not known to be dead.
func TestUnclearEndIsNotDeath(t *testing.T) {
	for name, second := range map[string]func(net.Conn){
		"silent":         func(c net.Conn) { _, _ = readHello(c); wantEnd(t, c) },
		"another server": func(c net.Conn) { _, _ = readHello(c); _ = answer{WrongServer, cluster1, "n9/z", "x"}.write(c) },
		"garbage":        func(c net.Conn) { _, _ = readHello(c); _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) },
	} {
		cfg := config()
		cfg.HandshakeTimeout = 100 * time.Millisecond
		n1 := listen(t, "n1/a", cfg)
		dials := 0
		addr := fakePeer(t, func(c net.Conn) {
			if dials++; dials > 1 {
				second(c)
				return
			}
			_, _ = readHello(c)
			_ = answer{0, cluster1, "n2/b", "boot"}.write(c)
		})
		_, seen := observe(t, n1, Peer{"n2/b", addr})
		select {
		case o := <-seen:
			if o.err == nil {
				t.Errorf("%s: observed %+v", name, o.death)
			}
		case <-within(t).Done():
			t.Errorf("%s: still watching", name)
		}
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	n1, n2 := listen(t, "n1/a", config()), listen(t, "n2/b", config())
	w, err := n1.Watch(within(t), n2.self())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("wait: %v", err)
	}
	if _, err := n1.Watch(within(t), Peer{"n2/wiped", n2.Addr()}); err == nil {
		t.Error("watched another server")
	}
}
