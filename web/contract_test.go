package web_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/taskraft/taskraft/rpc/taskraftv1"
)

// TestContract calls every operation of /openapi.json and compares every answer
// with what the document says of it.
func TestContract(t *testing.T) {
	m := startMaster(t)
	doc := newContract(t, m.want(200, "GET", "/openapi.json", "").body)
	m.saw = doc.check

	callTasks(m)
	callQueues(m)
	callBatches(m)
	callSchedules(m)
	callWorkers(m)
	callEvents(m)
	callCluster(m)

	for op := range doc.paths {
		if !doc.called[op] {
			t.Errorf("%s is in the document and no test calls it: add a call above", op)
		}
	}
}

func callTasks(m *master) {
	spec := `{"queue": "a", "kind": "k", "payload": "aGk=", "labels": {}}`
	m.refused(m.call("POST", "/v1/tasks", strings.Replace(spec, "labels", "lables", 1)), 400, "MALFORMED_REQUEST", "lables")
	a := m.want(201, "POST", "/v1/tasks", `{"queue": "a", "kind": "k", "payload": "aGk="}`)
	m.want(200, "GET", a.header.Get("Location"), "")
	short := m.want(201, "POST", "/tasks", `{"cmd": "touch test.txt"}`)
	if loc := short.header.Get("Location"); loc != "/tasks/"+short.text("id") {
		m.t.Errorf("Location %q of task %s", loc, short.text("id"))
	}
	if got := m.want(200, "GET", "/tasks/"+short.text("id"), ""); got.text("spec", "kind") != "command" || got.text("spec", "payload") == "" {
		m.t.Errorf("got %s, want a command", got.raw)
	}
	m.want(201, "POST", "/v1/tasks:batch", `{"tasks": [{"queue": "a"}, {"queue": "b"}]}`)
	m.want(200, "GET", "/v1/tasks?page_size=2&filter=state%3DREADY&consistency=linearizable", "")
	m.want(200, "GET", "/v1/tasks/"+a.text("id")+":wait?timeout=0.001s", "")
	m.want(200, "GET", "/v1/tasks/"+a.text("id")+":follow?once=true", "")
	m.want(200, "POST", "/v1/tasks/"+a.text("id")+":cancel", `{"reason": "enough"}`)
	m.want(200, "POST", "/v1/tasks/"+a.text("id")+":retry", "")
	m.want(200, "POST", "/v1/tasks/"+a.text("id")+":cancel", "")
	m.want(200, "DELETE", "/v1/tasks/"+a.text("id"), "")
	m.want(201, "POST", "/v1/tasks", `{"queue": "c", "labels": {"tenant": "7"}}`)
	if got := m.want(200, "GET", "/v1/tasks?filter=label.tenant%3D7", ""); strings.Count(string(got.raw), `"queue":"c"`) != 1 {
		m.t.Errorf("searched by label: %s", got.raw)
	}
	sweep := m.want(200, "POST", "/v1/tasks:cancel", `{"filter": "label.tenant=7", "reason": "enough"}`)
	if got := m.want(200, "GET", "/v1/sweeps/"+sweep.text("sweep"), ""); got.text("cancelled") != "1" {
		m.t.Errorf("the sweep %s: %s", sweep.raw, got.raw)
	}
	m.want(200, "GET", "/v1/dead?filter.queue=a", "")
	m.want(200, "GET", "/v1/dead/groups", "")
	m.want(200, "POST", "/v1/dead:retry", `{"filter": {"queue": "a"}, "validate_only": true}`)
}

func callQueues(m *master) {
	m.want(200, "GET", "/v1/queues", "")
	if got := m.want(200, "PATCH", "/v1/queues/q", `{"max_running": 3, "rate": {"tokens": 5, "period": "1s"}}`); got.body["settings"].(map[string]any)["max_running"] != 3.0 {
		m.t.Errorf("settings of q: %s", got.raw)
	}
	m.want(200, "PATCH", "/v1/queues/q", `{"max_running": null}`)
	if got := m.want(200, "GET", "/v1/queues/q", ""); strings.Contains(string(got.raw), "max_running") || !strings.Contains(string(got.raw), "tokens") {
		m.t.Errorf("null did not unset max_running alone: %s", got.raw)
	}
	m.want(200, "POST", "/v1/queues/q:pause", "{}")
	m.want(200, "POST", "/v1/queues/q:resume", "")
	m.want(200, "POST", "/v1/queues/q:purge", `{"running": true, "validate_only": true}`)
}

func callBatches(m *master) {
	a := m.want(201, "POST", "/v1/batches", `{"batch": {"name": "b"}, "tasks": [{"queue": "a"}, {"queue": "a"}]}`)
	id := a.text("id")
	m.want(200, "GET", "/v1/batches", "")
	m.want(200, "GET", "/v1/batches/"+id, "")
	m.want(200, "GET", "/v1/batches/"+id+":wait?timeout=0.001s", "")
	m.want(200, "POST", "/v1/batches/"+id+":cancel", "")
	got := m.want(200, "GET", "/v1/batches/"+id, "", "Prefer", "wait=20")
	if got.text("state") != "BATCH_FINISHED" || got.header.Get("Preference-Applied") != "wait=20" {
		m.t.Errorf("got %s", got.raw)
	}
	lines := "{\"batch\": {\"name\": \"lines\"}, \"tasks\": [{}]}\n" + strings.Repeat("{\"tasks\": [{\"queue\": \"a\"}, {\"queue\": \"a\"}]}\n", 600)
	if got := m.want(201, "POST", "/v1/batches", lines, "Content-Type", "application/x-ndjson"); got.text("total") != "1201" {
		m.t.Errorf("got %s, want 1201 tasks", got.raw)
	}
}

func callSchedules(m *master) {
	m.want(201, "POST", "/v1/schedules", `{"name": "s", "spec": {"cron": "0 3 * * *", "task": {"cmd": "echo night"}}}`)
	m.want(200, "POST", "/v1/schedules", `{"name": "s", "spec": {"cron": "0 3 * * *", "task": {"cmd": "echo night"}}}`)
	m.want(200, "GET", "/v1/schedules", "")
	m.want(200, "GET", "/v1/schedules/s?next=2", "")
	m.want(200, "POST", "/v1/schedules/s:pause", "")
	m.want(200, "POST", "/v1/schedules/s:resume", "")
	m.want(200, "POST", "/v1/schedules/s:trigger", "")
	m.want(200, "DELETE", "/v1/schedules/s", "")
	m.refused(m.call("GET", "/v1/schedules/s", ""), 404, "SCHEDULE_NOT_FOUND", "s")
}

// callWorkers is a worker that pulls: two tasks, one of which fails.
func callWorkers(m *master) {
	m.want(201, "POST", "/v1/tasks:batch", `{"tasks": [{"queue": "w", "payload": "eA=="}, {"queue": "w"}]}`)
	poll := m.want(200, "POST", "/v1/workers/w1:poll", `{"boot_id": "b1", "queues": [{"queue": "w"}], "slots": 2, "max": 2, "poll_seq": "1", "wait": "5s"}`)
	got := poll.body["assignments"].([]any)
	if len(got) != 2 {
		m.t.Fatalf("polled %s, want 2 assignments", poll.raw)
	}
	fences := make([]string, 2)
	for i, a := range got {
		a := a.(map[string]any)
		fences[i] = fmt.Sprintf(`"task": %q, "fence": %q`, a["task"], a["fence"])
	}
	m.want(200, "POST", "/v1/workers/w1:heartbeat", `{"boot_id": "b1", "held": [`+strconv.Quote(got[0].(map[string]any)["fence"].(string))+`]}`)
	done := `{"boot_id": "b1", "completion": {` + fences[0] + `, "result": "b2s="}}`
	m.want(200, "POST", "/v1/workers/w1:complete", done)
	if a := m.want(200, "POST", "/v1/workers/w1:complete", done); a.text("outcome") != "DUPLICATE" {
		m.t.Errorf("the same again: %s", a.raw)
	}
	if a := m.want(409, "POST", "/v1/workers/w1:complete", strings.Replace(done, "b2s=", "bm8=", 1)); a.text("outcome") != "CONFLICT" {
		m.t.Errorf("another result: %s", a.raw)
	}
	m.want(200, "POST", "/v1/workers/w1:fail", `{"boot_id": "b1", "failure": {`+fences[1]+`, "error": "no", "permanent": true}}`)
	m.want(200, "GET", "/v1/workers?gone=true", "")
	if a := m.want(200, "GET", "/v1/workers/w1", ""); a.text("mode") != "pull" || a.text("failed_total") != "1" {
		m.t.Errorf("the worker: %s", a.raw)
	}
	m.want(200, "POST", "/v1/workers", `{"push": "127.0.0.1:7500"}`)
	m.want(200, "DELETE", "/v1/workers/127.0.0.1:7500", "")
	b := m.want(201, "POST", "/v1/tasks", `{"broadcast": {"require": 1}}`)
	if a := m.want(200, "GET", "/v1/broadcasts/"+b.text("id"), ""); len(a.body["targets"].([]any)) != 1 {
		m.t.Errorf("the broadcast: %s", a.raw)
	}
	m.want(200, "POST", "/v1/workers/w1:drain", "")
	m.want(200, "POST", "/v1/workers/w1:drain", `{"undo": true}`)
	m.want(200, "DELETE", "/v1/workers/w1", "")
	m.refused(m.call("GET", "/v1/workers/w9", ""), 404, "WORKER_NOT_FOUND", "w9")
}

func callEvents(m *master) {
	page := m.want(200, "GET", "/v1/events?page_size=3", "")
	if len(page.body["events"].([]any)) != 3 || page.text("oldest_index") != "1" {
		m.t.Errorf("the first page: %s", page.raw)
	}
	dead := m.want(200, "GET", "/v1/events?since="+page.text("next")+"&types=dead,completed&queue=w", "")
	for _, want := range []string{`"type":"dead"`, `"type":"completed"`, `"principal":"worker:w1"`, `"error":"no"`} {
		if !strings.Contains(string(dead.raw), want) {
			m.t.Errorf("no %s in %s", want, dead.raw)
		}
	}
	if got := m.want(200, "GET", "/v1/events?since=now&wait=0.01s", ""); got.body["events"] != nil {
		m.t.Errorf("nothing happens: %s", got.raw)
	}
	m.refused(m.call("GET", "/v1/events?since=x&types=died", ""), 400, "INVALID_FIELD", "since")
	m.watchEvents()
}

func callCluster(m *master) {
	m.want(200, "GET", "/v1/cluster/status", "")
	m.want(200, "GET", "/v1/cluster/members", "")
	m.want(200, "GET", "/v1/cluster/digest", "")
	m.want(200, "GET", "/v1/cluster/hash", "")
	m.refused(m.call("GET", "/v1/cluster/hash?index=-1", ""), 400, "MALFORMED_REQUEST", "index")
	m.refused(m.call("POST", "/v1/cluster/members", `{"name": "n9", "raft": "127.0.0.1:1"}`), 409, "MEMBER_UNREACHABLE", "n9")
	m.refused(m.call("DELETE", "/v1/cluster/members/n9", ""), 404, "MEMBER_NOT_FOUND", "n9")
	m.want(200, "POST", "/v1/cluster:finalize", `{"level": 1}`)
	m.refused(m.call("POST", "/v1/cluster:finalize", `{"level": 99}`), 409, "LEVEL_REFUSED", "upgrade first")
	m.refused(m.call("POST", "/v1/cluster:transfer", `{"to": "n9"}`), 404, "MEMBER_NOT_FOUND", "n9")
	m.watchLeader()
}

// contract is the document, and which of its operations were called.
type contract struct {
	t           *testing.T
	definitions map[string]any
	paths       map[string]map[string]any // "GET /v1/tasks/{id}" → operation
	called      map[string]bool
}

func newContract(t *testing.T, doc map[string]any) *contract {
	c := &contract{t: t, definitions: doc["definitions"].(map[string]any), paths: make(map[string]map[string]any), called: make(map[string]bool)}
	for path, ops := range doc["paths"].(map[string]any) {
		for method, op := range ops.(map[string]any) {
			c.paths[strings.ToUpper(method)+" "+path] = op.(map[string]any)
		}
	}
	return c
}

var parameter = regexp.MustCompile(`\\\{[a-z_]+\\\}`)

// find returns the operation of a request: of those that match, that with the most
// fixed text.
func (c *contract) find(method, path string) string {
	path, _, _ = strings.Cut(path, "?")
	best := ""
	for op := range c.paths {
		form := parameter.ReplaceAllString(regexp.QuoteMeta(op), `[^/]+`)
		if regexp.MustCompile("^"+form+"$").MatchString(method+" "+path) && len(op) > len(best) {
			best = op
		}
	}
	return best
}

func (c *contract) check(method, path string, a *answer) {
	c.t.Helper()
	op := c.find(method, path)
	if op == "" {
		c.t.Errorf("%s %s answers and is not in the document", method, path)
		return
	}
	c.called[op] = true
	responses := c.paths[op]["responses"].(map[string]any)
	r, ok := responses[strconv.Itoa(a.status)].(map[string]any)
	if !ok && a.status >= 400 {
		r, ok = responses["default"].(map[string]any)
	}
	if !ok {
		c.t.Errorf("%s: status %d is not in the document", op, a.status)
		return
	}
	c.conforms(op, a.body, r["schema"].(map[string]any))
}

// conforms compares a value with its schema.
func (c *contract) conforms(at string, v any, schema map[string]any) {
	c.t.Helper()
	if ref, ok := schema["$ref"].(string); ok {
		schema = c.definitions[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any)
	}
	kind, _ := schema["type"].(string)
	fits := true
	switch v := v.(type) {
	case map[string]any:
		fits = kind == "object"
		fields, _ := schema["properties"].(map[string]any)
		rest, _ := schema["additionalProperties"].(map[string]any)
		for name, value := range v {
			field, ok := fields[name].(map[string]any)
			if !ok {
				field = rest
			}
			if field == nil {
				c.t.Errorf("%s.%s is not in the document", at, name)
				continue
			}
			c.conforms(at+"."+name, value, field)
		}
	case []any:
		fits = kind == "array"
		for i, value := range v {
			c.conforms(fmt.Sprintf("%s[%d]", at, i), value, schema["items"].(map[string]any))
		}
	case string:
		fits = kind == "string"
		if words, ok := schema["enum"].([]any); ok && !slices.Contains(words, any(v)) {
			c.t.Errorf("%s: %q is no word of the document's", at, v)
		}
	case float64:
		fits = kind == "integer" || kind == "number"
	case bool:
		fits = kind == "boolean"
	}
	if !fits {
		c.t.Errorf("%s: got %v, want the document's %s", at, v, kind)
	}
}

// unrouted are the methods that HTTP does not have, and why.
var unrouted = map[string]string{
	"taskraft.v1.WorkerService.Work":             "both sides speak at once; over HTTP a worker polls",
	"taskraft.v1.TaskExecutor.Describe":          "push workers serve it, not masters",
	"taskraft.v1.TaskExecutor.DoTask":            "push workers serve it, not masters",
	"taskraft.v1.TaskExecutor.Check":             "push workers serve it, not masters",
	"taskraft.v1.TaskExecutor.StopTask":          "push workers serve it, not masters",
	"taskraft.v1.TaskService.WatchTasks":         "both sides speak at once; over HTTP one waits for a task or a batch",
	"taskraft.v1.ClusterService.SaveSnapshot":    "a file, not JSON: taskraft snapshot save",
	"taskraft.v1.ClusterService.RestoreSnapshot": "a file, not JSON: taskraft snapshot restore",
}

// TestEveryMethodHasARoute fails when a method was added to the API and to neither
// web/routes.yaml nor the exceptions above.
func TestEveryMethodHasARoute(t *testing.T) {
	m := startMaster(t)
	routed := make(map[string]bool)
	for _, op := range newContract(t, m.want(200, "GET", "/openapi.json", "").body).paths {
		routed[op["tags"].([]any)[0].(string)+"."+op["operationId"].(string)] = true
	}
	protoregistry.GlobalFiles.RangeFilesByPackage("taskraft.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			service := f.Services().Get(i)
			for j := range service.Methods().Len() {
				method := service.Methods().Get(j)
				why, excepted := unrouted[string(method.FullName())]
				has := routed[string(service.Name())+"."+string(method.Name())]
				switch {
				case !has && !excepted:
					t.Errorf("%s has no route: add one to web/routes.yaml and a call to TestContract, or say in unrouted why not", method.FullName())
				case has && excepted:
					t.Errorf("%s has a route and an exception: %s", method.FullName(), why)
				}
			}
		}
		return true
	})
}
