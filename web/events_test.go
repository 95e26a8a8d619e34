package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// watchEvents reads the first line of the stream of events.
func (m *master) watchEvents() {
	m.t.Helper()
	if a := m.firstLine("/v1/events:watch?since=1&limit=3"); a.text("result", "cursor") != "1.0" {
		m.t.Errorf("got %s, want to begin at 1.0", a.raw)
	}
}

// sse reads server-sent events until n of them have data. It returns them, and the last
// id that a browser would keep.
func (m *master) sse(path, last string, n int) (got []map[string]any, id string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+m.addr+path, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		m.t.Fatalf("%s is %s, %s", path, resp.Status, resp.Header.Get("Content-Type"))
	}
	next := ""
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			next = value
		case "data":
			var e map[string]any
			if err := json.Unmarshal([]byte(value), &e); err != nil {
				m.t.Fatal(err)
			}
			if e["cursor"] != next {
				m.t.Errorf("id %s of event %v", next, e["cursor"])
			}
			got = append(got, e)
		case "": // only now it counts
			if id = next; len(got) == n {
				return got, id
			}
		default:
			m.t.Errorf("a browser does not know %q", lines.Text())
		}
	}
	m.t.Fatalf("%s ended after %d events: %v", path, len(got), ctx.Err())
	return nil, ""
}

// TestEventStream breaks a browser's stream off and goes on with its last id.
func TestEventStream(t *testing.T) {
	m := startMaster(t)
	const path = "/v1/events:watch?since=1&types=created"
	for range 3 {
		m.want(201, "POST", "/tasks", `{"queue": "a"}`)
		m.want(200, "POST", "/v1/queues/a:pause", "")
		m.want(200, "POST", "/v1/queues/a:resume", "")
	}
	first, id := m.sse(path, "", 2)
	m.want(201, "POST", "/tasks", `{"queue": "b"}`)
	rest, _ := m.sse(path, id, 2)
	var tasks []string
	for _, e := range append(first, rest...) {
		tasks = append(tasks, e["task"].(string))
		if e["type"] != "created" || !strings.HasPrefix(e["principal"].(string), "client:") {
			t.Errorf("got %v", e)
		}
	}
	if strings.Join(tasks, " ") != "1 2 3 4" {
		t.Errorf("told of tasks %v", tasks)
	}
	if a := m.call("GET", path, "", "Last-Event-ID", "yesterday"); a.status != 400 {
		t.Errorf("a bad Last-Event-ID: %d %s", a.status, a.raw)
	}
}
