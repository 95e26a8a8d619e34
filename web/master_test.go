package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/rpc"
	"github.com/taskraft/taskraft/web"
)

// master is a real single-node master with its HTTP side on loopback.
type master struct {
	t    *testing.T
	addr string
	node *cluster.Node
	// saw is told of every answer.
	saw func(method, path string, a *answer)
}

// answer is an HTTP answer with its body as JSON.
type answer struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

// startMaster runs a master until the test ends and waits until it leads.
func startMaster(t *testing.T) *master {
	t.Helper()
	raft, edge := listen(t), listen(t)
	cfg := cluster.DefaultConfig()
	cfg.Name, cfg.DataDir = "n1", t.TempDir()+"/n1"
	cfg.Bind, cfg.GRPC, cfg.HTTP = raft.Addr().String(), "127.0.0.1:1", edge.Addr().String()
	cfg.Peers = []cluster.Peer{{Name: "n1", Raft: cfg.Bind}}
	cfg.Logger = slog.New(slog.DiscardHandler)
	raft.Close()
	node, err := cluster.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	rc := rpc.DefaultConfig()
	rc.Logger = cfg.Logger
	calls := rpc.NewServer(node, rc)
	server := web.NewServer(web.Config{
		Node: node, Conn: calls.Local(), Name: "n1", Hosts: []string{"tasks.example"}, MaxPayload: rc.MaxPayload, Logger: cfg.Logger,
	})
	served := make(chan error, 1)
	go func() { served <- server.Serve(edge) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := node.Stop(ctx); err != nil {
			t.Errorf("stop node: %v", err)
		}
		server.Stop(ctx)
		calls.Stop(ctx)
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	for {
		leader, changed := node.Leader()
		if leader.Self {
			break
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			t.Fatal("no leader after 20 s")
		}
	}
	return &master{t: t, addr: cfg.HTTP, node: node}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// call makes a request; a body is sent as JSON. header is NAME, VALUE, ….
func (m *master) call(method, path, body string, header ...string) *answer {
	m.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(m.t.Context(), method, "http://"+m.addr+path, r)
	if err != nil {
		m.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		switch {
		case header[i] == "Host":
			req.Host = header[i+1]
		case header[i+1] == "":
			req.Header.Del(header[i])
		default:
			req.Header.Set(header[i], header[i+1])
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // no redirect is followed
	if err != nil {
		m.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	a := &answer{status: resp.StatusCode, header: resp.Header}
	if a.raw, err = io.ReadAll(resp.Body); err != nil {
		m.t.Fatalf("%s %s: %v", method, path, err)
	}
	// A stream's first line is looked at.
	line, _, _ := bytes.Cut(bytes.TrimPrefix(a.raw, []byte("data: ")), []byte("\n"))
	if err := json.Unmarshal(line, &a.body); err != nil {
		m.t.Fatalf("%s %s: %v in %q", method, path, err, a.raw)
	}
	if m.saw != nil {
		m.saw(method, path, a)
	}
	return a
}

// want is call with a status that must be the answer's.
func (m *master) want(status int, method, path, body string, header ...string) *answer {
	m.t.Helper()
	a := m.call(method, path, body, header...)
	if a.status != status {
		m.t.Fatalf("%s %s %.200s: got %d, want %d: %s", method, path, body, a.status, status, a.raw)
	}
	return a
}

// text returns a field by its path.
func (a *answer) text(path ...string) string {
	var v any = a.body
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	s, _ := v.(string)
	return s
}

// refused wants a problem with a reason, and a word of its detail or fields.
func (m *master) refused(a *answer, status int, reason, word string) {
	m.t.Helper()
	if a.status != status || a.text("reason") != reason || a.header.Get("Content-Type") != "application/problem+json" {
		m.t.Errorf("got %d %s %s, want a problem %d %s", a.status, a.header.Get("Content-Type"), a.raw, status, reason)
	}
	if !strings.Contains(string(a.raw), word) {
		m.t.Errorf("got %s, want %q in it", a.raw, word)
	}
}
