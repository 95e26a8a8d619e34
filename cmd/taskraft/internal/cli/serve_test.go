package cli

import (
	"bytes"
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// TestServiceManagerIsTold runs a master as systemd would: it says when it is up
// and when it stops.
func TestServiceManagerIsTold(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	hear := func(want string) {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		var b [64]byte
		n, err := conn.Read(b[:])
		if err != nil || string(b[:n]) != want {
			t.Fatalf("heard %q, %v; want %q", b[:n], err, want)
		}
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	raft := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var out, errOut bytes.Buffer
	code := make(chan int)
	go func() {
		code <- Run(ctx, with(t, "--raft-addr", raft, "--peers", "n1="+raft), IO{Out: &out, Err: &errOut}, "v0-test")
	}()
	hear("READY=1")
	cancel()
	hear("STOPPING=1")
	result{code: <-code, errOut: errOut.String()}.wantCode(t, exitOK, "version=v0-test", "stopped")
}
