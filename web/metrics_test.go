package web_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protodelim"
)

const monitoring = "../deploy/monitoring"

// scrape returns /metrics as text.
func (m *master) scrape() string {
	m.t.Helper()
	resp, err := http.Get("http://" + m.addr + "/metrics")
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		m.t.Fatalf("%v, %v: %.500s", resp.Status, err, text)
	}
	return string(text)
}

// workOne submits a task of a kind and lets it succeed or die.
func (m *master) workOne(queue, kind string, seq int, well bool) {
	m.t.Helper()
	m.want(201, "POST", "/tasks", fmt.Sprintf(`{"queue": %q, "kind": %q}`, queue, kind))
	poll := m.want(200, "POST", "/v1/workers/w:poll", fmt.Sprintf(`{"boot_id": "b", "queues": [{"queue": %q}], "max": 1, "poll_seq": "%d", "wait": "20s"}`, queue, seq))
	x := poll.body["assignments"].([]any)[0].(map[string]any)
	verb, report := "complete", "completion"
	more := ""
	if !well {
		verb, report, more = "fail", "failure", `, "error": "no", "permanent": true`
	}
	m.want(200, "POST", "/v1/workers/w:"+verb, fmt.Sprintf(`{"boot_id": "b", %q: {"task": %q, "fence": %q%s}}`, report, x["task"], x["fence"], more))
}

func TestMetrics(t *testing.T) {
	m := startMaster(t)
	m.workOne("mail", "send", 1, true)
	m.workOne("mail", "send", 2, false)
	m.want(201, "POST", "/tasks", `{"queue": "mail"}`)
	text := m.scrape()
	for _, want := range []string{
		`taskraft_queue_tasks{queue="mail",state="ready"} 1`,
		`taskraft_queue_tasks{queue="mail",state="succeeded"} 1`,
		`taskraft_queue_submitted_total{queue="mail"} 3`,
		`taskraft_tasks_ended_total{kind="send",queue="mail",state="succeeded"} 1`,
		`taskraft_tasks_ended_total{kind="send",queue="mail",state="dead"} 1`,
		`taskraft_task_wait_seconds_count{queue="mail"} 2`,
		`taskraft_task_run_seconds_count{queue="mail"} 2`,
		`taskraft_task_total_seconds_bucket{queue="mail",le="4096"} 2`,
		`taskraft_raft_role{role="leader"} 1`,
		`taskraft_raft_serving 1`,
		`taskraft_member_reachable{member="n1"} 1`,
		`taskraft_alarm{alarm="disk_low"} 0`,
		`taskraft_sessions 1`,
		`taskraft_elections_total 1`,
		`taskraft_events_total `,
		`taskraft_event_reads_compacted_total 0`,
		`taskraft_event_oldest_index 1`,
		`taskraft_event_watchers 0`,
		`taskraft_event_segment_bytes `,
		`taskraft_log_fsync_seconds{percentile="99"}`,
		`taskraft_commit_seconds_count `,
		`taskraft_build_info{goversion="`,
		`go_goroutines `,
		`process_resident_memory_bytes `,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no line begins with %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	promtool(t, strings.NewReader(text), "check", "metrics")
	m.usedAreThere(text, "alerts.yml")
	m.usedAreThere(text, "grafana.json")
}

// promtool runs Prometheus's own checks.
func promtool(t *testing.T, in io.Reader, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Dir, cmd.Stdin = monitoring, in
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "no help") {
		t.Errorf("promtool %s: %v (scripts/install-tools.sh installs it)\n%s", strings.Join(args, " "), err, out)
	}
}

func TestAlerts(t *testing.T) {
	promtool(t, nil, "check", "rules", "alerts.yml")
	promtool(t, nil, "test", "rules", "alerts_test.yml")
	text, err := os.ReadFile(filepath.Join(monitoring, "grafana.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(text) {
		t.Error("grafana.json is no JSON")
	}
}

var series = regexp.MustCompile(`\b(taskraft|process)_[a-z_]+\b`)

// usedAreThere wants every series that a file names to be exported.
func (m *master) usedAreThere(text, file string) {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(monitoring, file))
	if err != nil {
		m.t.Fatal(err)
	}
	used := series.FindAllString(string(b), -1)
	if len(used) < 10 {
		m.t.Errorf("%s names only %q", file, used)
	}
	for _, name := range used {
		if !regexp.MustCompile(`(?m)^` + name + `[{ ]`).MatchString(text) {
			m.t.Errorf("%s uses %s, which is not exported", file, name)
		}
	}
}

// TestNativeHistograms asks as a Prometheus with native histograms does.
func TestNativeHistograms(t *testing.T) {
	m := startMaster(t)
	m.workOne("mail", "send", 1, true)
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+m.addr+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	found := 0
	for r := bufio.NewReader(resp.Body); ; {
		var f dto.MetricFamily
		if err := protodelim.UnmarshalFrom(r, &f); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if f.GetType() != dto.MetricType_HISTOGRAM || !strings.HasPrefix(f.GetName(), "taskraft_") {
			continue
		}
		found++
		h := f.GetMetric()[0].GetHistogram()
		if h.GetSchema() != 2 || len(h.GetPositiveSpan()) == 0 || h.GetSampleCount() == 0 || len(h.GetBucket()) == 0 {
			t.Errorf("%s is not both native and classic: %v", f.GetName(), h)
		}
	}
	if found != 4 {
		t.Errorf("got %d histograms, want 4", found)
	}
}

// TestManyQueues (F12) makes more queues than are told apart.
func TestManyQueues(t *testing.T) {
	m := startMaster(t)
	const queues = 1500
	var lines strings.Builder
	for i := 0; i < queues; i += 500 {
		var tasks []string
		for j := range 500 {
			tasks = append(tasks, fmt.Sprintf(`{"queue": "q%04d"}`, i+j))
		}
		fmt.Fprintf(&lines, "{\"tasks\": [%s]}\n", strings.Join(tasks, ","))
	}
	m.want(201, "POST", "/v1/batches", lines.String(), "Content-Type", "application/x-ndjson")
	text := m.scrape()
	if n := strings.Count(text, "\ntaskraft_queue_submitted_total{"); n != 1001 {
		t.Errorf("%d queues are told apart, want 1,000 and the rest", n)
	}
	if want := "\ntaskraft_queue_tasks{queue=\"_other\",state=\"ready\"} 500\n"; !strings.Contains(text, want) {
		t.Errorf("want %q", want)
	}
	if want := "\ntaskraft_queues 1500\n"; !strings.Contains(text, want) {
		t.Errorf("want %q", want)
	}
}
