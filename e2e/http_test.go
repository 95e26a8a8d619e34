package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

// answer is what a master says over HTTP.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

func (a *answer) text(name string) string { s, _ := a.body[name].(string); return s }

// ask makes one request. header is NAME, VALUE, ….
func ask(ctx context.Context, method, url, body string, header ...string) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // no redirect is followed
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	a := &answer{status: resp.StatusCode, header: resp.Header}
	return a, json.Unmarshal(text, &a.body)
}

// mustAsk wants an answer with that status.
func mustAsk(t *testing.T, status int, method, url, body string, header ...string) *answer {
	t.Helper()
	a, err := ask(within(t, time.Minute), method, url, body, header...)
	must(t, err)
	if a.status != status {
		t.Fatalf("%s %s: got %d, want %d: %v", method, url, a.status, status, a.body)
	}
	return a
}

// submitOverHTTP submits with an Idempotency-Key and repeats until a master answers.
func submitOverHTTP(t *testing.T, masters []*proc.Master, i int, body string) string {
	t.Helper()
	ctx := within(t, time.Minute)
	for n := i; ; n++ {
		m := masters[n%len(masters)]
		a, err := ask(ctx, "POST", "http://"+m.HTTP+"/tasks", body, "Idempotency-Key", fmt.Sprintf("key-%d", i))
		switch {
		case err == nil && (a.status == 201 || a.status == 200):
			return a.text("id")
		case err == nil && a.status < 500:
			t.Fatalf("submit %d: %d %v", i, a.status, a.body)
		case ctx.Err() != nil:
			t.Fatalf("submit %d: %v", i, context.Cause(ctx))
		}
	}
}

// TestPythonWorker lets examples/python work through the death of the leader, with
// submits over HTTP to every master in turn. Each task is done, once, in one attempt.
func TestPythonWorker(t *testing.T) {
	c := newCluster(t)
	leader, err := c.Leader(within(t, time.Minute))
	must(t, err)
	followers, err := c.Followers(within(t, time.Minute))
	must(t, err)
	args := []string{filepath.Join(repository, "examples", "python", "worker.py"), "py", leader.HTTP}
	for _, f := range followers {
		args = append(args, f.HTTP)
	}
	log := filepath.Join(c.Dir(), "python.log")
	python, err := exec.LookPath("python3")
	must(t, err)
	worker, err := proc.Start(proc.Spec{Name: "python", Path: python, Args: args, Log: log})
	must(t, err)
	t.Cleanup(func() { must(t, worker.Kill()) })

	const n = 120
	ids := make([]string, n)
	for i := range n {
		text := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "task %d", i))
		ids[i] = submitOverHTTP(t, c.Masters(), i, `{"queue": "py", "payload": "`+text+`"}`)
		if i == n/2 {
			must(t, leader.Kill())
		}
	}
	url := "http://" + followers[0].HTTP
	for i, id := range ids {
		var got *answer
		must(t, proc.Poll(within(t, time.Minute), 10*time.Millisecond, "task "+id+" has ended", func() bool {
			got, err = ask(t.Context(), "GET", url+"/tasks/"+id, "", "Prefer", "wait=20")
			return err == nil && got.status == 200 && got.text("state") == "SUCCEEDED"
		}))
		want := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "TASK %d", i))
		if got.text("result") != want || got.body["attempts"] != 1.0 {
			t.Errorf("task %s: got %v", id, got.body)
		}
	}
	must(t, leader.Start())
	must(t, c.Rejoined(within(t, time.Minute), leader))
	_, _, err = c.Digest(within(t, time.Minute))
	must(t, err)
}

// TestFollowerHTTP asks a follower what only the leader can do (F11), and then a
// master that is left alone.
func TestFollowerHTTP(t *testing.T) {
	c := newCluster(t)
	leader, err := c.Leader(within(t, time.Minute))
	must(t, err)
	followers, err := c.Followers(within(t, time.Minute))
	must(t, err)
	url := "http://" + followers[0].HTTP
	at := "http://" + leader.HTTP

	a := mustAsk(t, 201, "POST", url+"/tasks", `{"cmd": "touch test.txt"}`)
	if got := a.header.Get("Taskraft-Leader"); got != at {
		t.Errorf("Taskraft-Leader %q, want %q", got, at)
	}
	mustAsk(t, 200, "GET", url+"/tasks/"+a.text("id"), "")
	mustAsk(t, 200, "GET", url+"/v1/tasks/"+a.text("id")+"?consistency=stale&min_index="+a.header.Get("Taskraft-Index"), "")
	mustAsk(t, 200, "POST", url+"/v1/tasks/"+a.text("id")+":cancel", `{"reason": "F11"}`, "Origin", url)
	if got := mustAsk(t, 307, "POST", url+"/v1/tasks?redirect=1", `{}`); got.header.Get("Location") != at+"/v1/tasks" {
		t.Errorf("Location %q, want %s/v1/tasks", got.header.Get("Location"), at)
	}
	mustAsk(t, 200, "GET", url+"/readyz", "")

	must(t, leader.Kill())
	must(t, followers[1].Kill())
	mustAsk(t, 200, "GET", url+"/livez", "")
	must(t, proc.Poll(within(t, time.Minute), pollEvery, "a master alone is not ready", func() bool {
		got, err := ask(t.Context(), "GET", url+"/readyz", "")
		return err == nil && got.status == 503 && strings.Contains(fmt.Sprint(got.body["checks"]), "no leader is known")
	}))
	got := mustAsk(t, 503, "POST", url+"/tasks", `{}`)
	if got.header.Get("Retry-After") == "" || got.text("reason") != "NO_LEADER" {
		t.Errorf("without a leader: %v %v", got.header, got.body)
	}
	mustAsk(t, 200, "GET", url+"/v1/tasks?consistency=stale", "")

	must(t, leader.Start())
	must(t, proc.Poll(within(t, time.Minute), pollEvery, "two masters accept", func() bool {
		got, err := ask(t.Context(), "POST", "http://"+leader.HTTP+"/tasks", `{}`)
		return err == nil && got.status == 201
	}))
}

const pollEvery = 20 * time.Millisecond
