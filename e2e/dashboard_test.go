package e2e

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/taskraft/taskraft/internal/proc"
)

// hostile are texts that a page must show and never obey (F09): markup, escapes of a
// terminal, a change of direction, and one that is long.
var hostile = []string{
	`<script>window.hurt=1</script>`, `"><img src=x onerror=window.hurt=1>`, `javascript:window.hurt=1`, `{{.}}${window.hurt=1}`,
	"\x1b[31mred\x07", "abc\u202etxt.exe", strings.Repeat("wide ", 24),
}

// scene is a cluster with something of everything to show.
func scene(t *testing.T) string {
	t.Helper()
	c := newCluster(t)
	leader, err := c.Leader(within(t, time.Minute))
	must(t, err)
	url := "http://" + leader.HTTP
	post := func(path, body string) *answer {
		t.Helper()
		a, err := ask(within(t, time.Minute), "POST", url+path, body)
		must(t, err)
		if a.status >= 300 {
			t.Fatalf("POST %s %s: %d %v", path, body, a.status, a.body)
		}
		return a
	}
	post("/v1/schedules", `{"name": "nightly-backup", "spec": {"cron": "30 2 * * MON-FRI", "time_zone": "Europe/Berlin", "task": {"queue": "reports", "cmd": "backup --all"}}}`)
	post("/v1/schedules", `{"name": "invoices", "spec": {"cron": "0 6 1 * *", "task": {"queue": "billing", "cmd": "invoice --month last"}}}`)
	for i, q := range []string{"mail=4", "thumbnails=3", "reports=2"} {
		queue, _, _ := strings.Cut(q, "=")
		startWorker(t, c, fmt.Sprintf("%s-%d", queue, i+1), c.Addrs(), "--queue", q, "--queue", "default", "--slots", "4", "--label", "zone=eu-"+fmt.Sprint(i+1))
	}
	for range 30 {
		post("/tasks", `{"queue": "mail", "cmd": "sleep 0.15"}`)
		post("/tasks", `{"queue": "thumbnails", "cmd": "sleep 0.4"}`)
	}
	for range 6 {
		post("/tasks", `{"queue": "reports", "cmd": "sleep 300"}`)
		post("/tasks", `{"queue": "billing", "kind": "invoice", "payload": "eyJtb250aCI6IDExLCAiY3VzdG9tZXIiOiAxNzR9", "priority": 5}`)
	}
	for range 3 {
		post("/tasks", `{"queue": "thumbnails", "cmd": "ls /photos/missing.jpg", "max_attempts": 1}`)
	}
	post("/tasks", `{"queue": "mail", "cmd": "false", "max_attempts": 2, "backoff": {"base": "0.2s"}}`)
	post("/tasks", `{"queue": "billing", "delay": "3600s", "kind": "remind"}`)
	return url
}

// TestDashboard opens every page in a real browser, acts on each, and watches what
// changes by itself. No page may break its policy, throw, ask anybody else, or be
// hard to use without eyes or a mouse.
func TestDashboard(t *testing.T) {
	url := scene(t)
	b := newBrowser(t, 1280, 860)
	b.open(url + "/")
	b.until("document.querySelectorAll('canvas').length === 3")
	b.mu.Lock()
	if b.bytes > 150<<10 || b.bytes < 10<<10 {
		t.Errorf("the first page takes %.0f bytes, want at most 150 KiB", b.bytes)
	}
	t.Logf("first load: %.1f KiB in %d requests", b.bytes/1024, len(b.requests))
	b.mu.Unlock()
	pass(t, 12*time.Second) // for the charts to have something to say
	b.picture("dashboard")
	for _, page := range []string{"", "tasks", "tasks?state=DEAD", "tasks/1", "queues", "queues/mail", "workers", "schedules", "dead", "cluster", "submit"} {
		b.open(url + "/ui/" + page)
		b.audit(page)
		name, _, _ := strings.Cut(page, "?")
		if name != "" && name != "tasks/1" && name != "queues/mail" {
			b.picture(name)
		}
	}
	t.Run("live", func(t *testing.T) { seesChanges(t, b, url) })
	t.Run("actions", func(t *testing.T) { acts(t, b, url) })
	t.Run("F09", func(t *testing.T) { showsHostileTexts(t, b, url) })
	b.clean()
	b.mu.Lock()
	for _, r := range b.requests {
		if !strings.HasPrefix(r, url+"/") {
			t.Errorf("the page asked %s", r)
		}
	}
	b.mu.Unlock()

	t.Run("dark", func(t *testing.T) {
		b := newBrowser(t, 1280, 860)
		b.run(protocol(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}}))
		for _, page := range []string{"", "tasks", "dead", "cluster", "submit"} {
			b.open(url + "/ui/" + page)
			b.audit(page + " in the dark")
		}
		b.open(url + "/ui/")
		pass(t, time.Second)
		b.picture("dashboard-dark")
		b.clean()
	})
	t.Run("narrow", func(t *testing.T) {
		b := newBrowser(t, 390, 844)
		for _, page := range []string{"", "tasks", "tasks/1", "queues", "workers", "schedules", "cluster", "submit"} {
			b.open(url + "/ui/" + page)
			if over := value[int](b, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
				t.Errorf("%q is %d pixels wider than a narrow screen", page, over)
			}
			b.audit(page + " on a narrow screen")
		}
		b.open(url + "/ui/")
		pass(t, time.Second)
		b.picture("dashboard-narrow")
		b.clean()
	})
	t.Run("without scripts", func(t *testing.T) {
		b := newBrowser(t, 1280, 860)
		b.run(protocol(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
		b.open(url + "/ui/queues")
		html, err := chromedp.Run(b.ctx, chromedp.OuterHTML("main"))
		must(t, err)
		if !strings.Contains(html, "thumbnails") || !strings.Contains(html, "Pause") {
			t.Errorf("queues without scripts: %s", html)
		}
	})
}

// seesChanges lets the table change under open pages.
func seesChanges(t *testing.T, b *browser, url string) {
	b.open(url + "/ui/queues")
	pass(t, time.Second) // for the stream to be open
	a := mustAsk(t, 201, "POST", url+"/tasks", `{"queue": "brand-new", "kind": "none"}`)
	if took := b.shows("main", "brand-new", 5*time.Second); took > time.Second {
		t.Errorf("a new queue is shown after %v, want 1 s", took)
	}
	b.open(url + "/ui/tasks/" + a.text("id"))
	b.shows("main", "ready", 5*time.Second)
	pass(t, time.Second)
	mustAsk(t, 200, "POST", url+"/v1/tasks/"+a.text("id")+":cancel", `{"reason": "seen live"}`)
	if took := b.shows("main", "seen live", 5*time.Second); took > time.Second {
		t.Errorf("a cancel is shown after %v, want 1 s", took)
	}
}

// acts presses every button once.
func acts(t *testing.T, b *browser, url string) {
	b.open(url + "/ui/queues")
	b.press("Pause billing")
	b.shows("#says", "paused", time.Second)
	b.shows("#q-billing", "Resume", time.Second)
	b.press("Resume billing")
	b.shows("#q-billing", "Pause", time.Second)

	b.open(url + "/ui/schedules")
	b.shows("main", "2", time.Second)
	b.press("Pause invoices")
	b.press("Resume invoices")
	b.press("Run now: invoices")
	b.shows("#s-invoices", "last task", 2*time.Second)

	b.open(url + "/ui/dead")
	b.shows("main", "3 tasks", 20*time.Second)
	b.press("Retry all 3 of this group")
	b.shows("main", "Run 3 tasks of this group again?", time.Second)
	b.audit("the question")
	b.press("Retry all")
	b.shows("#says", "submitted again", time.Second)

	b.open(url + "/ui/tasks?queue=billing&state=READY")
	value[bool](b, "[...document.querySelectorAll('input[type=checkbox]')].slice(0, 2).forEach((x) => x.click()); true")
	pass(t, time.Second) // what is chosen stays chosen while the page lives
	b.press("Cancel chosen")
	b.shows("main", "Cancel 2 tasks?", time.Second)
	b.press("Cancel")
	b.shows("#says", "2 tasks cancelled", time.Second)
	b.press("Cancel chosen") // nothing is chosen
	b.shows("main", "Choose at least one first", time.Second)

	b.open(url + "/ui/submit")
	b.run(chromedp.SendKeys("[name=cmd]", "echo 'from the page'"), chromedp.SendKeys("[name=queue]", "mail"), chromedp.SendKeys("[name=delay]", "1h"))
	b.press("Submit")
	b.shows("main", "from the page", 5*time.Second)
	b.press("Cancel")
	b.press("Cancel")
	b.shows("main", "cancelled", 5*time.Second)
	b.press("Retry")
	b.press("Retry")
	b.shows("main", "from the page", 5*time.Second)
	b.picture("task")

	b.open(url + "/ui/submit")
	b.run(chromedp.SendKeys("[name=cmd]", "a | b"))
	b.press("Submit")
	b.shows("main", "no shell runs", time.Second)
}

// showsHostileTexts puts them everywhere that takes a text.
func showsHostileTexts(t *testing.T, b *browser, url string) {
	var last string
	for _, text := range hostile {
		// A kind may hold no control characters; an error may.
		printed := strings.Map(func(r rune) rune {
			if r < ' ' {
				return -1
			}
			return r
		}, text)
		kind, payload := jsonText(printed), base64.StdEncoding.EncodeToString([]byte(text))
		last = mustAsk(t, 201, "POST", url+"/tasks", `{"queue": "hostile", "kind": `+kind+`, "payload": "`+payload+`", "content_type": `+kind+`}`).text("id")
		poll := mustAsk(t, 200, "POST", url+"/v1/workers/h:poll", `{"boot_id": "h", "queues": [{"queue": "hostile"}], "max": 1, "poll_seq": "`+last+`", "wait": "20s"}`)
		x := poll.body["assignments"].([]any)[0].(map[string]any)
		mustAsk(t, 200, "POST", url+"/v1/workers/h:fail", fmt.Sprintf(`{"boot_id": "h", "failure": {"task": %q, "fence": %q, "error": %s, "result": %q, "permanent": true}}`, x["task"], x["fence"], jsonText(text), payload))
		b.open(url + "/ui/tasks/" + last)
		b.shows("main", "dead", 5*time.Second)
	}
	for _, page := range []string{
		"tasks?queue=hostile", "dead", "queues/hostile", "workers", "tasks/" + last,
		"tasks?queue=%3Cscript%3Ewindow.hurt%3D1%3C/script%3E", "queues?said=%3Cscript%3Ewindow.hurt=1%3C/script%3E", "nothing/%3Cscript%3E",
	} {
		b.open(url + "/ui/" + page)
		pass(t, 300*time.Millisecond)
		text := value[string](b, "document.body.innerText")
		if hurt := value[bool](b, "'hurt' in window || document.scripts.length > 2"); hurt || strings.ContainsAny(text, "\x1b\x07\u202e") {
			t.Errorf("%s obeys what it should show:\n%s", page, text)
		}
	}
	b.open(url + "/ui/dead")
	b.shows("main", "<script>window.hurt", 5*time.Second)
	b.shows("main", "U+202E", 5*time.Second)
}

// master reports whether the page is the master's own.
func (b *browser) master(m *proc.Master) bool {
	return value[string](b, "document.body.dataset.name") == m.Name
}

// jsonText is a text in JSON.
func jsonText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if r < 0x20 || r == '"' || r == '\\' {
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}

// TestDashboardSurvivesTheLeader kills the leader while pages are open: one that it
// serves itself, and one of a follower.
func TestDashboardSurvivesTheLeader(t *testing.T) {
	c := newCluster(t)
	own, other := newBrowser(t, 1280, 860), newBrowser(t, 1280, 860)
	var leader *proc.Master
	for stays := false; !stays; { // a busy machine may move leadership by itself
		var err error
		leader, err = c.Leader(within(t, time.Minute))
		must(t, err)
		followers, err := c.Followers(within(t, time.Minute))
		must(t, err)
		own.open("http://" + leader.HTTP + "/ui/")
		other.open("http://" + followers[0].HTTP + "/ui/")
		pass(t, 2*time.Second)
		now, err := c.Leader(within(t, time.Minute))
		must(t, err)
		stays = now == leader && other.master(followers[0]) && own.master(leader)
	}

	must(t, leader.Kill())
	heir, err := c.NextLeader(within(t, time.Minute), leader)
	must(t, err)
	if took := other.shows("#says", heir.Name+" leads now", 5*time.Second); took > time.Second {
		t.Errorf("a follower's page tells of the new leader after %v, want 1 s", took)
	}
	other.shows("#where", heir.Name+" leads", 5*time.Second)
	t.Logf("the leader's page goes on elsewhere after %v", own.shows("#says", leader.Name+" was lost", 20*time.Second))
	own.shows("#where", heir.Name+" leads", 5*time.Second)

	// Both go on: what happens now is seen.
	pass(t, time.Second)
	mustAsk(t, 201, "POST", "http://"+heir.HTTP+"/tasks", `{"queue": "after-the-kill"}`)
	own.shows("main", "after-the-kill", 5*time.Second)
	other.shows("main", "after-the-kill", 5*time.Second)
	pass(t, 6*time.Second)
	other.picture("failover")
	own.clean()
	other.clean()
}

// TestDashboardFollowsAHandOver moves leadership while pages of every master are open:
// each tells of it within a second, none of them is loaded again, and no master is
// taken for lost.
func TestDashboardFollowsAHandOver(t *testing.T) {
	c := newCluster(t)
	ctx := within(t, 2*time.Minute)
	leader, err := c.Leader(ctx)
	must(t, err)
	var open []*browser
	for _, m := range c.Masters() {
		b := newBrowser(t, 1280, 860)
		b.open("http://" + m.HTTP + "/ui/")
		b.until(`(window.stays = true)`) // a load would forget it
		open = append(open, b)
	}
	l := runTaskraft(ctx, t, c, "cluster", "transfer")
	if code := l.exit(t); code != 0 {
		t.Fatalf("cluster transfer: exit code %d, %s", code, l.err.String())
	}
	heir, err := c.NextLeader(ctx, leader)
	must(t, err)
	for i, b := range open {
		if took := b.shows("#says", heir.Name+" leads now", 5*time.Second); took > time.Second {
			t.Errorf("the page of %s tells of the hand-over after %v, want 1 s", c.Masters()[i].Name, took)
		}
		b.shows("#where", heir.Name+" leads", 5*time.Second)
		b.until(`window.stays && !document.querySelector("#says").textContent.includes("lost")`)
		b.clean()
	}
}
