package web_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestBadBodies(t *testing.T) {
	m := startMaster(t)
	tests := []struct {
		id, name, path, body string
		word                 string
	}{
		{"F01", "no JSON", "/tasks", `{"cmd": `, "after 8 bytes"},
		{"F01", "no object", "/tasks", `[]`, "(line 1:1)"},
		{"F01", "trailing data", "/tasks", `{} {}`, "(line 1:4)"},
		{"F01", "trailing data, whole message", "/v1/tasks:batch", `{} x`, "(line 1:4)"},
		{"F01", "duplicate key", "/tasks", `{"kind": "a", "kind": "b"}`, "kind"},
		{"F01", "duplicate key of a map", "/tasks", `{"require": {"a": "1", "a": "2"}}`, "duplicate"},
		{"F01", "unknown field", "/tasks", `{"kynd": "a"}`, "kynd"},
		{"F01", "NaN", "/v1/workers/w:heartbeat", `{"boot_id": "b", "progress": [{"fraction": NaN}]}`, "(line 1:"},
		{"F01", "1e400", "/v1/workers/w:heartbeat", `{"boot_id": "b", "progress": [{"fraction": 1e400}]}`, "1e400"},
		{"F01", "depth 10,001", "/tasks", strings.Repeat(`{"on_success":[`, 10_001), "depth"},
		{"F01", "wrong type", "/tasks", `{"priority": "high"}`, "priority"},
		{"F01", "control character", "/tasks", "{\"kind\": \"\x01\"}", "(line 1:"},
		{"F01", "invalid UTF-8", "/tasks", "{\"kind\": \"\xff\"}", "UTF-8"},
	}
	for _, tt := range tests {
		t.Run(tt.id+"/"+tt.name, func(t *testing.T) {
			m := &master{t: t, addr: m.addr}
			m.refused(m.call("POST", tt.path, tt.body), 400, "MALFORMED_REQUEST", tt.word)
		})
	}
	t.Run("F03/content types", func(t *testing.T) {
		m := &master{t: t, addr: m.addr}
		for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/", "application/x-ndjson"} {
			m.refused(m.call("POST", "/tasks", `{}`, "Content-Type", media), 415, "UNSUPPORTED_MEDIA", "application/json")
		}
		m.want(201, "POST", "/tasks", `{}`, "Content-Type", "application/json; charset=utf-8")
	})
	t.Run("F03/compressed", func(t *testing.T) {
		m := &master{t: t, addr: m.addr}
		m.refused(m.call("POST", "/tasks", "\x1f\x8b", "Content-Encoding", "gzip"), 415, "UNSUPPORTED_MEDIA", "gzip")
	})
	t.Run("F02/1 MiB and more", func(t *testing.T) {
		m := &master{t: t, addr: m.addr}
		m.refused(m.call("POST", "/tasks", `{"kind": "`+strings.Repeat("x", 1<<20)+`"}`), 413, "BODY_TOO_LARGE", "1048576")
	})
	// Nothing of all that was accepted but the one that was well-formed.
	if got := m.want(200, "GET", "/v1/tasks", ""); len(got.body["tasks"].([]any)) != 1 {
		t.Errorf("tasks: %s", got.raw)
	}
}

// raw writes to a connection of its own and returns the status of the answer, 0 for
// none, and how long it took.
func (m *master) raw(write func(net.Conn)) (status int, took time.Duration) {
	m.t.Helper()
	conn, err := net.Dial("tcp", m.addr)
	if err != nil {
		m.t.Fatal(err)
	}
	defer conn.Close()
	begin := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		write(conn)
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	took = time.Since(begin)
	if err == nil {
		status = resp.StatusCode
		resp.Body.Close()
	}
	conn.Close()
	<-done
	return status, took
}

// drip writes text, and then one byte every few milliseconds until nobody reads.
func drip(conn net.Conn, text string) {
	_, err := io.WriteString(conn, text)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for err == nil {
		<-tick.C
		_, err = conn.Write([]byte("x"))
	}
}

func TestSlowAndEndless(t *testing.T) {
	m := startMaster(t)
	head := "POST /tasks HTTP/1.1\r\nHost: " + m.addr + "\r\nContent-Type: application/json\r\n"
	tests := []struct {
		id, name string
		write    func(net.Conn)
		status   int
		within   time.Duration
	}{
		{"F05", "headers drip", func(c net.Conn) { drip(c, "GET / HTTP/1.1\r\nX: ") }, 0, 6 * time.Second},
		{"F05", "body drips", func(c net.Conn) { drip(c, head+"Content-Length: 100000\r\n\r\n") }, 408, 16 * time.Second},
		{"F02", "endless chunks", func(c net.Conn) {
			_, err := io.WriteString(c, head+"Transfer-Encoding: chunked\r\n\r\n")
			for err == nil {
				_, err = fmt.Fprintf(c, "10000\r\n%s\r\n", strings.Repeat("x", 0x10000))
			}
		}, 413, 5 * time.Second},
		{"F02", "shorter than its Content-Length", func(c net.Conn) {
			io.WriteString(c, head+"Content-Length: 10\r\n\r\n{}")
			c.(*net.TCPConn).CloseWrite()
		}, 400, 5 * time.Second},
		{"F02", "wrong Content-Length", func(c net.Conn) { io.WriteString(c, head+"Content-Length: -5\r\n\r\n{}") }, 400, 5 * time.Second},
		{"F08", "absolute form of another host", func(c net.Conn) {
			io.WriteString(c, "GET http://attacker.example/v1/tasks HTTP/1.1\r\nHost: "+m.addr+"\r\n\r\n")
		}, 421, 5 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.id+"/"+tt.name, func(t *testing.T) {
			t.Parallel()
			m := &master{t: t, addr: m.addr}
			status, took := m.raw(tt.write)
			// Without an answer the connection is closed, which is one too (408 or none).
			if status != tt.status && !(tt.status == 0 && status == 408) || took > tt.within {
				t.Errorf("got %d after %v, want %d within %v", status, took, tt.status, tt.within)
			}
		})
	}
}

func TestHostsAndOrigins(t *testing.T) {
	m := startMaster(t)
	for _, tt := range []struct {
		id     string
		header []string
		status int
		reason string
	}{
		{"F07", []string{"Origin", "https://attacker.example"}, 403, "CROSS_ORIGIN"},
		{"F07", []string{"Origin", "null"}, 403, "CROSS_ORIGIN"},
		{"F07", []string{"Sec-Fetch-Site", "cross-site"}, 403, "CROSS_ORIGIN"},
		{"F07", []string{"Sec-Fetch-Site", "same-site"}, 403, "CROSS_ORIGIN"},
		{"F07", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://" + m.addr}, 201, ""},
		{"F07", nil, 201, ""},
		{"F08", []string{"Host", "attacker.example"}, 421, "WRONG_HOST"},
		{"F08", []string{"Host", "192.0.2.1:7402"}, 421, "WRONG_HOST"},
		{"F08", []string{"Host", "localhost.attacker.example"}, 421, "WRONG_HOST"},
		{"F08", []string{"Host", ""}, 201, ""},
		{"F08", []string{"Host", "localhost:1"}, 201, ""},
		{"F08", []string{"Host", "[::1]:7402"}, 201, ""},
		{"F08", []string{"Host", "Tasks.Example"}, 201, ""},
	} {
		t.Run(tt.id+"/"+strings.Join(tt.header, " "), func(t *testing.T) {
			m := &master{t: t, addr: m.addr}
			a := m.call("POST", "/tasks", `{}`, tt.header...)
			if tt.status == 201 && a.status == 201 {
				return
			}
			m.refused(a, tt.status, tt.reason, "")
		})
	}
}

// TestConnectionsAreCapped (F05): one more than the cap is closed at once, and when
// one goes there is room again.
func TestConnectionsAreCapped(t *testing.T) {
	m := startMaster(t)
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	closed := func(c net.Conn) bool {
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		return err == io.EOF || err != nil && !err.(net.Error).Timeout()
	}
	for len(held) < 4096 {
		c, err := net.Dial("tcp", m.addr)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	more, err := net.Dial("tcp", m.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer more.Close()
	if !closed(more) {
		t.Error("a connection over the cap is served")
	}
	if closed(held[0]) {
		t.Error("a connection under the cap is closed")
	}
	held[0].Close()
	deadline := time.Now().Add(10 * time.Second)
	for {
		resp, err := http.Get("http://" + m.addr + "/livez")
		if err == nil {
			resp.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no room again: %v", err)
		}
	}
}
