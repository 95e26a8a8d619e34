package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const cluster1 = "c1"

// TestMain lets this binary be a master process of its own: it serves the address
// of the environment and ends with its standard input.
func TestMain(m *testing.M) {
	addr := os.Getenv("TRANSPORT_TEST_SERVE")
	if addr == "" {
		os.Exit(m.Run())
	}
	p, err := New(Config{Bind: addr})
	if err != nil {
		panic(err)
	}
	Handle(p, Members, "echo", echo)
	if err := p.Listen(); err != nil {
		panic(err)
	}
	if err := p.Adopt(cluster1, "n2/b"); err != nil {
		panic(err)
	}
	fmt.Println(p.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// process starts this binary as the master n2/b at addr.
func process(t *testing.T, addr string) (*exec.Cmd, Peer) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "TRANSPORT_TEST_SERVE="+addr)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // ends with this process
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the process did not come up: %v", err)
	}
	return cmd, Peer{"n2/b", strings.TrimSpace(line)}
}

func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGKILL)
	_ = cmd.Wait()
}

type text struct{ S string }

func echo(_ context.Context, _ Caller, a text) (text, error) { return a, nil }

func config() Config { return Config{Bind: "127.0.0.1:0"} }

// listen opens a port; a server id adopts it into cluster c1.
func listen(t testing.TB, server string, cfg Config) *Port {
	t.Helper()
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	Handle(p, Members, "echo", echo)
	Handle(p, Anyone, "identify", func(_ context.Context, from Caller, _ struct{}) (Caller, error) {
		return from, nil
	})
	if err := p.Listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	if server != "" {
		if err := p.Adopt(cluster1, server); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *Port) self() Peer {
	_, id := p.Identity()
	return Peer{id, p.Addr()}
}

// within returns a context for what should take no time at all.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx := within(t)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

// ping calls echo and returns its error.
func ping(ctx context.Context, p *Port, to Peer) error {
	var got text
	err := p.Call(ctx, to, "echo", text{"x"}, &got)
	if err == nil && got.S != "x" {
		err = fmt.Errorf("echo answered %q", got.S)
	}
	return err
}

func wantRefused(t *testing.T, err error, want Reason) {
	t.Helper()
	if refused, ok := errors.AsType[*RefusedError](err); !ok || refused.Reason != want {
		t.Errorf("error %v, want a refusal because %s", err, want)
	}
}

// rawHello connects without a Port.
func rawHello(t *testing.T, addr string, h hello) (net.Conn, answer) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := h.write(c); err != nil {
		t.Fatal(err)
	}
	a, err := readAnswer(c)
	if err != nil {
		t.Fatal(err)
	}
	return c, a
}

// wantEnd fails unless the other side ends the connection.
func wantEnd(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Read(make([]byte, 1)); !hungUp(err) {
		t.Errorf("read: %v, want the end of the connection", err)
	}
}
