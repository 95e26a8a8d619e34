package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// recorder keeps an answer of the API.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

// Flush implements http.Flusher.
func (r *recorder) Flush() {}

// call makes a request to the API, which finds the leader.
func (h *Handler) call(from *http.Request, method, path string, body any) (int, []byte) {
	w := h.ask(from, method, path, body)
	return w.status, w.body.Bytes()
}

// ask is call with the headers of the answer.
func (h *Handler) ask(from *http.Request, method, path string, body any) *recorder {
	w := &recorder{header: make(http.Header)}
	var data []byte
	if body != nil {
		data, _ = json.Marshal(body) // maps of texts and numbers encode
	}
	r, err := http.NewRequestWithContext(from.Context(), method, path, bytes.NewReader(data))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return w
	}
	r.Host, r.RemoteAddr = from.Host, from.RemoteAddr
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	h.cfg.API.ServeHTTP(w, r)
	return w
}

// action is something that a form may ask for.
type action struct {
	path  string // with %s for the target
	field string // of the body, for a value of the form
	ask   string // the question before it is done; empty: it is done at once
	yes   string // what the button says then
	done  string // what is said afterwards
}

var actions = map[string]action{
	"queue.pause":      {path: "/v1/queues/%s:pause", done: "paused"},
	"queue.resume":     {path: "/v1/queues/%s:resume", done: "resumed"},
	"task.cancel":      {path: "/v1/tasks/%s:cancel", ask: "Cancel %s? What runs is asked to stop.", yes: "Cancel", done: "cancelled"},
	"task.retry":       {path: "/v1/tasks/%s:retry", ask: "Run %s again?", yes: "Retry", done: "submitted again"},
	"schedule.pause":   {path: "/v1/schedules/%s:pause", done: "paused"},
	"schedule.resume":  {path: "/v1/schedules/%s:resume", done: "resumed"},
	"schedule.trigger": {path: "/v1/schedules/%s:trigger", done: "triggered"},
	"cluster.transfer": {path: "/v1/cluster:transfer", field: "to", ask: "Let %s lead? No call fails meanwhile.", yes: "Transfer leadership", done: "leads"},
	"dead.retry":       {path: "/v1/dead:retry", field: "group", ask: "Run %s of this group again?", yes: "Retry all", done: "submitted again"},
}

// confirmation is an action that waits for a yes.
type confirmation struct {
	Verb, Question, Yes, Back string
	Targets                   []string
	Count                     int
}

// do carries out an action, after a yes if it is one that cannot be taken back.
func (h *Handler) do(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		h.fail(w, r, http.StatusBadRequest, "The form cannot be read: "+err.Error())
		return
	}
	verb, targets, back := r.PostForm.Get("verb"), r.PostForm["target"], backTo(r.PostForm.Get("back"))
	a, ok := actions[verb]
	if !ok || len(targets) == 0 {
		h.fail(w, r, http.StatusBadRequest, "Choose at least one first.")
		return
	}
	if a.ask != "" && r.PostForm.Get("yes") == "" {
		count, err := h.impact(r, verb, targets)
		if err != "" {
			h.fail(w, r, http.StatusServiceUnavailable, err)
			return
		}
		v := h.view(r, "confirm", a.yes+"?")
		v.Data = &confirmation{
			Verb: verb, Question: fmt.Sprintf(a.ask, what(verb, targets, count)), Yes: a.yes, Back: back, Targets: targets, Count: count,
		}
		h.render(w, http.StatusOK, v)
		return
	}
	done, index := 0, ""
	for _, t := range targets {
		answer := h.ask(r, http.MethodPost, strings.ReplaceAll(a.path, "%s", url.PathEscape(t)), bodyOf(a, t))
		if answer.status >= 300 {
			h.fail(w, r, answer.status, fmt.Sprintf("%s: %s", visible(t), refusedBecause(answer.status, answer.body.Bytes())))
			return
		}
		done, index = done+1, answer.header.Get("Taskraft-Index")
	}
	sep := "?"
	if strings.Contains(back, "?") {
		sep = "&"
	}
	http.Redirect(w, r, back+sep+"said="+url.QueryEscape(verb+"."+strconv.Itoa(done))+"&after="+url.QueryEscape(index), http.StatusSeeOther)
}

// impact is how many an action would change.
func (h *Handler) impact(r *http.Request, verb string, targets []string) (int, string) {
	if verb != "dead.retry" {
		return len(targets), ""
	}
	sum := 0
	for _, group := range targets {
		status, body := h.call(r, http.MethodPost, "/v1/dead:retry", map[string]any{"filter": map[string]string{"group": group}, "validate_only": true})
		var answer struct{ Count string }
		if status != http.StatusOK || json.Unmarshal(body, &answer) != nil {
			return 0, refusedBecause(status, body)
		}
		n, _ := strconv.Atoi(answer.Count) // left out when it is none
		sum += n
	}
	return sum, ""
}

func bodyOf(a action, target string) any {
	switch a.field {
	case "":
		return map[string]string{}
	case "group":
		return map[string]any{"filter": map[string]string{"group": target}}
	}
	return map[string]string{a.field: target}
}

func what(verb string, targets []string, count int) string {
	kind, _, _ := strings.Cut(verb, ".")
	switch {
	case kind == "cluster":
		return visible(targets[0])
	case kind == "task" && count == 1:
		return "task " + visible(targets[0])
	case count == 1:
		return "1 task"
	}
	return number(count) + " tasks"
}

// refusedBecause reads a problem, or an outcome.
func refusedBecause(status int, body []byte) string {
	var p struct{ Detail, Outcome string }
	if json.Unmarshal(body, &p) == nil {
		switch {
		case p.Detail != "":
			return visible(p.Detail)
		case p.Outcome != "":
			return strings.ToLower(strings.ReplaceAll(p.Outcome, "_", " "))
		}
	}
	return http.StatusText(status)
}

// backTo is a page of ours, without what an earlier action said.
func backTo(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(u.Path, "/ui/") {
		return "/ui/"
	}
	q := u.Query()
	for _, name := range []string{"said", "lost", "after"} {
		q.Del(name)
	}
	return (&url.URL{Path: u.Path, RawQuery: q.Encode()}).String()
}

// said is what VERB.COUNT did, in words; a page's address must not be able to make
// it say anything else.
func said(code string) string {
	i := strings.LastIndexByte(code, '.')
	if i < 0 {
		return ""
	}
	a, ok := actions[code[:i]]
	n, err := strconv.Atoi(code[i+1:])
	switch {
	case !ok || err != nil || n < 1:
		return ""
	case strings.HasPrefix(code, "task.") && n > 1:
		return fmt.Sprintf("Done: %d tasks %s.", n, a.done)
	case strings.HasPrefix(code, "task."), strings.HasPrefix(code, "dead."):
		return "Done: " + a.done + "."
	}
	return "Done: " + a.done + "."
}

// submit makes a task of the form.
func (h *Handler) submit(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 2<<20)
	if err := r.ParseForm(); err != nil {
		h.fail(w, r, http.StatusBadRequest, "The form cannot be read: "+err.Error())
		return
	}
	f := r.PostForm
	spec := make(map[string]any)
	for _, name := range []string{"queue", "cmd", "kind", "delay", "timeout", "request_id"} {
		v := strings.TrimSpace(f.Get(name))
		if d, err := time.ParseDuration(v); err == nil && (name == "delay" || name == "timeout") {
			v = strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
		}
		if v != "" {
			spec[name] = v
		}
	}
	for _, name := range []string{"priority", "max_attempts"} {
		if v := strings.TrimSpace(f.Get(name)); v != "" {
			spec[name] = json.Number(v)
		}
	}
	if p := f.Get("payload"); p != "" {
		spec["payload"] = []byte(p) // base64
		if json.Valid([]byte(p)) {
			spec["content_type"] = "application/json"
		}
	}
	if bad := badNumber(f, "priority", "max_attempts"); bad != "" {
		h.fail(w, r, http.StatusBadRequest, bad)
		return
	}
	answer := h.ask(r, http.MethodPost, "/v1/tasks", spec)
	var task struct{ ID string }
	if answer.status >= 300 || json.Unmarshal(answer.body.Bytes(), &task) != nil {
		h.fail(w, r, answer.status, refusedBecause(answer.status, answer.body.Bytes()))
		return
	}
	http.Redirect(w, r, "/ui/tasks/"+url.PathEscape(task.ID)+"?after="+url.QueryEscape(answer.header.Get("Taskraft-Index")), http.StatusSeeOther)
}

func badNumber(f url.Values, names ...string) string {
	for _, name := range names {
		if v := strings.TrimSpace(f.Get(name)); v != "" {
			if _, err := strconv.Atoi(v); err != nil {
				return name + ": want a number"
			}
		}
	}
	return ""
}
