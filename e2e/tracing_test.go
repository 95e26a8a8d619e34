package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"github.com/taskraft/taskraft/internal/proc"
)

// traces is an OpenTelemetry collector that keeps what it gets.
type traces struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []told
}

// told is a span, and the service and instance that made it.
type told struct {
	*otlp.Span
	by string
}

// collect starts a collector and has every process that the test starts export to it.
func collect(t *testing.T) *traces {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	c, server := new(traces), grpc.NewServer()
	collector.RegisterTraceServiceServer(server, c)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		must(t, <-served)
	})
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+l.Addr().String())
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50") // ms
	return c
}

// Export implements the collector's service.
func (c *traces) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range req.GetResourceSpans() {
		var by []string
		for _, key := range []string{"service.name", "service.instance.id"} {
			for _, a := range r.GetResource().GetAttributes() {
				if a.GetKey() == key {
					by = append(by, a.GetValue().GetStringValue())
				}
			}
		}
		for _, s := range r.GetScopeSpans() {
			for _, span := range s.GetSpans() {
				c.spans = append(c.spans, told{span, strings.Join(by, " ")})
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// of returns the spans of a trace.
func (c *traces) of(trace string) []told {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.spans), func(s told) bool { return hex.EncodeToString(s.GetTraceId()) != trace })
}

// wait waits until a trace has so many spans of a name, and returns them.
func (c *traces) wait(ctx context.Context, t *testing.T, trace, name string, n int) []told {
	t.Helper()
	var named []told
	err := proc.Poll(ctx, 10*time.Millisecond, fmt.Sprintf("%d of %s in trace %s", n, name, trace), func() bool {
		named = slices.DeleteFunc(c.of(trace), func(s told) bool { return s.GetName() != name })
		return len(named) >= n
	})
	if err != nil {
		t.Fatalf("%v; there are:\n%s", err, tree(c.of(trace), ""))
	}
	return named
}

// tree draws the spans below a parent, each with its service.
func tree(spans []told, parent string) string {
	var b strings.Builder
	var draw func(parent, indent string)
	draw = func(parent, indent string) {
		var children []told
		for _, s := range spans {
			if hex.EncodeToString(s.GetParentSpanId()) == parent {
				children = append(children, s)
			}
		}
		slices.SortStableFunc(children, func(a, b told) int { return int(a.GetStartTimeUnixNano()) - int(b.GetStartTimeUnixNano()) })
		slices.SortStableFunc(children, func(a, b told) int { return -strings.Compare(a.GetName(), b.GetName()) })
		for _, s := range children {
			service, _, _ := strings.Cut(s.by, " ")
			fmt.Fprintf(&b, "%s%s %s\n", indent, s.GetName(), service)
			draw(hex.EncodeToString(s.GetSpanId()), indent+"  ")
		}
	}
	draw(parent, "")
	return b.String()
}

const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan  = "00f067aa0ba902b7"
	callers      = "00-" + callersTrace + "-" + callersSpan + "-01"
)

// TestOneTrace follows a program that submits another one: from the caller, whom
// TRACEPARENT names, through three processes to the end it is one trace.
func TestOneTrace(t *testing.T) {
	seen := collect(t)
	c := newCluster(t)
	ctx := within(t, time.Minute)
	startWorker(t, c, "w1", c.Addrs())
	t.Setenv("TRACEPARENT", callers)
	script := fmt.Sprintf("echo $TRACEPARENT; OTEL_EXPORTER_OTLP_ENDPOINT=%s %s submit --masters %s -- true",
		os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), c.Binary(), strings.Join(c.Addrs(), ","))
	first := runTaskraft(ctx, t, c, "submit", "--wait", "--", "sh", "-c", script)
	if code := first.exit(t); code != 0 {
		t.Fatalf("exit code %d: %s", code, first.err.String())
	}
	seen.wait(ctx, t, callersTrace, "taskraft.attempt", 2)
	seen.wait(ctx, t, callersTrace, "taskraft.run", 2)
	want := `taskraft.submit taskraft-client
  taskraft.accept taskraft-master
    taskraft.wait taskraft-master
    taskraft.attempt taskraft-master
      taskraft.run taskraft-worker
        taskraft.submit taskraft-client
          taskraft.accept taskraft-master
            taskraft.wait taskraft-master
            taskraft.attempt taskraft-master
              taskraft.run taskraft-worker
`
	if got := tree(seen.of(callersTrace), callersSpan); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	run := seen.wait(ctx, t, callersTrace, "taskraft.run", 2)
	slices.SortFunc(run, func(a, b told) int { return int(a.GetStartTimeUnixNano()) - int(b.GetStartTimeUnixNano()) })
	if got, want := first.out.String(), "00-"+callersTrace+"-"+hex.EncodeToString(run[0].GetSpanId())+"-01\n"; !strings.HasPrefix(got, want) {
		t.Errorf("the program's TRACEPARENT is %q, want %q", got, want)
	}
}

// TestTraceOverALeaderKill kills the leader that accepted and assigned a task, which
// came by HTTP to a follower, while it runs, and its worker's first try fails: the
// next leader tells the ends of both attempts in the same trace, under the spans that
// the worker was told by the first.
func TestTraceOverALeaderKill(t *testing.T) {
	seen := collect(t)
	c := newCluster(t)
	ctx := within(t, time.Minute)
	startWorker(t, c, "w1", c.Addrs())
	leader, err := c.Leader(ctx)
	must(t, err)
	others, err := c.Followers(ctx)
	must(t, err)

	gate := filepath.Join(c.Dir(), "gate")
	script := fmt.Sprintf(`touch %[1]s.begun; while [ ! -e %[1]s ]; do sleep 0.01; done; [ $TASKRAFT_ATTEMPT != 1 ]`, gate)
	body, err := json.Marshal(map[string]any{"cmd": "sh -c '" + script + "'", "backoff": map[string]string{"base": "0.001s"}})
	must(t, err)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+others[0].HTTP+"/tasks", bytes.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", callers)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	must(t, resp.Body.Close())
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("POST /tasks: %s", resp.Status)
	}
	accepted := seen.wait(ctx, t, callersTrace, "taskraft.accept", 1)[0]
	seen.wait(ctx, t, callersTrace, "taskraft.wait", 1)
	must(t, proc.Poll(ctx, 5*time.Millisecond, "the task runs", func() bool {
		_, err := os.Stat(gate + ".begun")
		return err == nil
	}))
	must(t, leader.Kill())
	next, err := c.NextLeader(ctx, leader)
	must(t, err)
	must(t, os.WriteFile(gate, nil, 0o600))

	attempts := seen.wait(ctx, t, callersTrace, "taskraft.attempt", 2)
	seen.wait(ctx, t, callersTrace, "taskraft.run", 2)
	for _, a := range attempts {
		if a.by != "taskraft-master "+next.Name {
			t.Errorf("the end of an attempt is told by %s, want %s", a.by, next.Name)
		}
	}
	if accepted.by != "taskraft-master "+leader.Name {
		t.Errorf("the submit is told by %s, want %s", accepted.by, leader.Name)
	}
	want := `taskraft.accept taskraft-master
  taskraft.wait taskraft-master
  taskraft.wait taskraft-master
  taskraft.attempt taskraft-master
    taskraft.run taskraft-worker
  taskraft.attempt taskraft-master
    taskraft.run taskraft-worker
`
	if got := tree(seen.of(callersTrace), callersSpan); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestTracingPage runs what docs/tracing.md tells to type.
func TestTracingPage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, "docs", "tracing.md"))
	must(t, err)
	block := tested.FindSubmatch(text)
	if block == nil {
		t.Fatal("docs/tracing.md has no block of tested commands")
	}
	seen := collect(t)
	c := newCluster(t)
	ctx := within(t, time.Minute)
	startWorker(t, c, "w1", c.Addrs())
	cmd := exec.CommandContext(ctx, "bash", "-euxo", "pipefail")
	cmd.Env = append(os.Environ(), "TASKRAFT_MASTERS="+strings.Join(c.Addrs(), ","), "PATH="+c.Dir()+":"+os.Getenv("PATH"))
	must(t, os.Symlink(c.Binary(), filepath.Join(c.Dir(), "taskraft")))
	cmd.Dir, cmd.Stdin = c.Dir(), bytes.NewReader(block[1])
	out, err := cmd.Output()
	must(t, err)
	if !strings.HasPrefix(string(out), "00-"+callersTrace+"-") {
		t.Errorf("the program's TRACEPARENT is %q", out)
	}
	seen.wait(ctx, t, callersTrace, "taskraft.run", 1)
}

// TestTracingThatCannotBe says what is wrong with the variables, and works without a
// collector that answers.
func TestTracingThatCannotBe(t *testing.T) {
	c := newCluster(t)
	ctx := within(t, time.Minute)
	for _, tt := range []struct{ name, value, says string }{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4317", "want http://HOST:PORT"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "want grpc"},
	} {
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
		t.Setenv(tt.name, tt.value)
		l := runTaskraft(ctx, t, c, "submit", "--", "true")
		if code := l.exit(t); code != 2 || !strings.Contains(l.err.String(), tt.name) || !strings.Contains(l.err.String(), tt.says) {
			t.Errorf("%s=%s: exit code %d, %q", tt.name, tt.value, code, l.err.String())
		}
		must(t, os.Unsetenv(tt.name))
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1") // nobody is there
	l := runTaskraft(ctx, t, c, "submit", "--", "true")
	if code := l.exit(t); code != 0 || l.out.String() == "" {
		t.Errorf("without a collector: exit code %d, %q", code, l.err.String())
	}
	t.Logf("without a collector it says %q", l.err.String())
}
