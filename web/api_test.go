package web_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// watchLeader reads the first line of the stream of leaders.
func (m *master) watchLeader() {
	m.t.Helper()
	if a := m.firstLine("/v1/cluster/leader:watch"); a.text("result", "name") != "n1" {
		m.t.Errorf("got %s, want n1", a.raw)
	}
}

// firstLine reads the first line of a stream.
func (m *master) firstLine(path string) *answer {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+m.addr+path, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	line, err := bufio.NewReader(resp.Body).ReadBytes('\n')
	if err != nil {
		m.t.Fatal(err)
	}
	a := &answer{status: resp.StatusCode, header: resp.Header, raw: line}
	if err := json.Unmarshal(line, &a.body); err != nil {
		m.t.Fatal(err)
	}
	m.saw("GET", path, a)
	if got := a.header.Get("Content-Type"); got != "application/x-ndjson" {
		m.t.Errorf("%s is %s", path, got)
	}
	return a
}

func TestCommandLine(t *testing.T) {
	m := startMaster(t)
	payload := func(body string) string {
		t.Helper()
		a := m.want(201, "POST", "/tasks", body)
		got := m.want(200, "GET", a.header.Get("Location"), "")
		var b []byte
		if err := json.Unmarshal([]byte(`"`+got.text("spec", "payload")+`"`), &b); err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for body, want := range map[string]string{
		`{"cmd": "touch test.txt"}`:                   `{"argv":["touch","test.txt"]}`,
		`{"cmd": "echo 'a b' \"c d\" e\\ f \"\""}`:    `{"argv":["echo","a b","c d","e f",""]}`,
		`{"cmd": "echo $HOME ~ * 'a;b'"}`:             `{"argv":["echo","$HOME","~","*","a;b"]}`,
		`{"kind": "command", "cmd": "echo 'x | y'" }`: `{"argv":["echo","x | y"]}`,
	} {
		if got := payload(body); got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
	for _, body := range []string{
		`{"cmd": "echo a; rm -r b"}`, `{"cmd": "a | b"}`, `{"cmd": "a > b"}`, `{"cmd": "echo 'a"}`, `{"cmd": "  "}`,
		`{"cmd": "echo", "kind": "mail"}`, `{"cmd": "echo", "payload": "eA=="}`,
	} {
		m.refused(m.call("POST", "/tasks", body), 400, "INVALID_FIELD", `"field":"cmd"`)
	}
}

func TestIdempotencyKey(t *testing.T) {
	m := startMaster(t)
	first := m.want(201, "POST", "/tasks", `{"cmd": "echo 1"}`, "Idempotency-Key", `"k-1"`)
	again := m.want(200, "POST", "/v1/tasks", `{"cmd": "echo 1"}`, "Idempotency-Key", "k-1")
	if first.text("id") != again.text("id") || again.body["existing"] != true {
		t.Errorf("got %s and then %s", first.raw, again.raw)
	}
	m.refused(m.call("POST", "/tasks", `{"cmd": "echo 2"}`, "Idempotency-Key", "k-1"), 422, "REQUEST_ID_CONFLICT", first.text("id"))
	m.refused(m.call("POST", "/tasks", `{"cmd": "echo 2", "request_id": "k-1"}`), 409, "REQUEST_ID_CONFLICT", first.text("id"))
	m.refused(m.call("POST", "/tasks", `{"request_id": "a"}`, "Idempotency-Key", "b"), 400, "MALFORMED_REQUEST", "request_id")
	m.refused(m.call("POST", "/tasks", `{}`, "Idempotency-Key", strings.Repeat("x", 129)), 400, "MALFORMED_REQUEST", "Idempotency-Key")
	m.refused(m.call("POST", "/v1/tasks:batch", `{"tasks": [{}]}`, "Idempotency-Key", "b"), 400, "MALFORMED_REQUEST", "Idempotency-Key")
	b := m.want(201, "POST", "/v1/batches", `{"tasks": [{}]}`, "Idempotency-Key", "b1")
	if again := m.want(200, "POST", "/v1/batches", `{"tasks": [{}]}`, "Idempotency-Key", "b1"); again.text("id") != b.text("id") {
		t.Errorf("got %s and then %s", b.raw, again.raw)
	}
}

func TestPreferWait(t *testing.T) {
	m := startMaster(t)
	a := m.want(202, "POST", "/tasks", `{"queue": "slow"}`, "Prefer", "respond-async, wait=1")
	if a.text("state") != "READY" || a.header.Get("Preference-Applied") != "wait=1" || a.header.Get("Location") != "/tasks/"+a.text("id") {
		t.Errorf("got %v %s", a.header, a.raw)
	}
	ended := make(chan *answer)
	go func() { ended <- m.call("GET", "/tasks/"+a.text("id"), "", "Prefer", "wait=30") }()
	m.want(200, "POST", "/v1/tasks/"+a.text("id")+":cancel", "")
	if got := <-ended; got.text("state") != "CANCELLED" {
		t.Errorf("got %s", got.raw)
	}
	// A worker that is there gives an answer in one round trip.
	var worker sync.WaitGroup
	worker.Go(func() {
		poll := m.call("POST", "/v1/workers/w:poll", `{"boot_id": "b", "queues": [{"queue": "fast"}], "max": 1, "poll_seq": "1", "wait": "20s"}`)
		x := poll.body["assignments"].([]any)[0].(map[string]any)
		m.call("POST", "/v1/workers/w:complete", `{"boot_id": "b", "completion": {"task": "`+x["task"].(string)+`", "fence": "`+x["fence"].(string)+`", "result": "NDI="}}`)
	})
	if got := m.want(201, "POST", "/tasks", `{"queue": "fast"}`, "Prefer", "wait=30"); got.text("state") != "SUCCEEDED" || got.text("result") != "NDI=" {
		t.Errorf("got %s", got.raw)
	}
	worker.Wait() // its own answer may come later
}

func TestReads(t *testing.T) {
	m := startMaster(t)
	a := m.want(201, "POST", "/tasks", `{}`)
	index := a.header.Get("Taskraft-Index")
	for _, q := range []string{"", "?consistency=stale", "?consistency=LINEARIZABLE", "?min_index=" + index, "?consistency=stale&min_index=" + index} {
		got := m.want(200, "GET", "/v1/tasks/"+a.text("id")+q, "")
		if got.header.Get("Taskraft-Index") == "" || got.header.Get("Taskraft-Cluster") == "" || got.header.Get("Taskraft-Leader") != "http://"+m.addr {
			t.Errorf("%s: headers %v", q, got.header)
		}
	}
	m.refused(m.call("GET", "/v1/tasks/1?consistency=eventual", ""), 400, "MALFORMED_REQUEST", "consistency")
	m.refused(m.call("GET", "/v1/tasks?page_sise=3", ""), 400, "MALFORMED_REQUEST", "page_sise")
	m.refused(m.call("GET", "/v1/tasks/99", ""), 404, "TASK_NOT_FOUND", "99")
	m.refused(m.call("GET", "/v1/tasks/x", ""), 400, "MALFORMED_REQUEST", "id")
	m.refused(m.call("GET", "/v1/nothing", ""), 404, "NO_ROUTE", "/v1/nothing")
	m.refused(m.call("PUT", "/v1/tasks", `{}`), 405, "METHOD_NOT_ALLOWED", "PUT")
	events := m.want(200, "GET", "/v1/tasks/"+a.text("id")+":follow?once=true", "", "Accept", "text/event-stream")
	if !bytes.HasPrefix(events.raw, []byte("data: {")) || !bytes.HasSuffix(events.raw, []byte("}\n\n")) || events.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("events: %v %q", events.header, events.raw)
	}
}

func TestHealth(t *testing.T) {
	m := startMaster(t)
	m.want(200, "GET", "/livez", "")
	if got := m.want(200, "GET", "/readyz", ""); got.body["ready"] != true || got.text("role") != "leader" {
		t.Errorf("got %s", got.raw)
	}
}
