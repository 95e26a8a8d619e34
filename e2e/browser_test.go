package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is one tab of a Chromium without a window.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex // guards the rest
	faults   []string   // exceptions, errors of the console, violations of the policy
	requests []string   // addresses
	bytes    float64    // transferred
}

// newBrowser opens a tab of a size; the test's clean-up closes it.
func newBrowser(t *testing.T, width, height int, flags ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: make browser installs it", err)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.WindowSize(width, height), chromedp.Flag("force-device-scale-factor", "1"), chromedp.Flag("hide-scrollbars", true))
	ctx, cancel := chromedp.NewExecAllocator(within(t, 4*time.Minute), append(opts, flags...)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	must(t, chromedp.Listen(ctx, b.hear))
	b.run(
		protocol(network.Enable, network.EnableParams{}), protocol(cdplog.Enable, cdp.Empty{}),
		protocol(cdpruntime.Enable, cdp.Empty{}), chromedp.EmulateViewport(int64(width), int64(height)),
	)
	return b
}

func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *cdpruntime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			text += " " + x.Description
		}
		b.faults = append(b.faults, "exception: "+text)
	case *cdplog.EventEntryAdded:
		// That a master is gone is told here, too; it is what some tests are about.
		if e.Entry.Level == "error" && e.Entry.Source != "network" {
			b.faults = append(b.faults, string(e.Entry.Source)+": "+e.Entry.Text)
		}
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *network.EventDataReceived:
		b.bytes += float64(e.DataLength)
	}
}

// protocol is a command of the protocol as a step.
func protocol[P, R any](c cdp.Command[P, R], p P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, p)
		return err
	})
}

func (b *browser) run(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	must(b.t, chromedp.Do(ctx, steps...))
}

// value returns what an expression is on the page.
func value[T any](b *browser, expression string, opts ...chromedp.EvaluateOption) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, opts...))
	must(b.t, err)
	return v
}

func (b *browser) open(url string) {
	b.t.Helper()
	b.run(chromedp.Navigate(url), chromedp.WaitReady("main"))
}

// poll waits until an expression is true, and returns how long that took.
func (b *browser) poll(expression string, limit time.Duration) (time.Duration, error) {
	for begin := time.Now(); ; pass(b.t, 20*time.Millisecond) {
		// While a page gives way to the next there is nothing to ask.
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
		switch took := time.Since(begin); {
		case err == nil && ok:
			return took, nil
		case took > limit:
			return took, fmt.Errorf("not within %v: %s", limit, expression)
		}
	}
}

func (b *browser) until(expression string) {
	b.t.Helper()
	_, err := b.poll(expression, 20*time.Second)
	must(b.t, err)
}

// shows waits until an element holds a text, and returns how long that took.
func (b *browser) shows(selector, text string, limit time.Duration) time.Duration {
	b.t.Helper()
	shown := fmt.Sprintf("(document.querySelector(%q)?.innerText ?? '')", selector)
	took, err := b.poll(shown+fmt.Sprintf(".includes(%q)", text), limit)
	if err != nil {
		b.t.Fatalf("%s does not show %q within %v, but %q", selector, text, limit, value[string](b, shown))
	}
	return took
}

// press clicks a button by its text and waits for the page that follows.
func (b *browser) press(text string) {
	b.t.Helper()
	found := value[bool](b, fmt.Sprintf(`(() => {
		const button = [...document.querySelectorAll("button")].find((x) => x.innerText === %q || x.ariaLabel === %q);
		if (!button) return false;
		window.old = true;
		button.click();
		return true;
	})()`, text, text))
	if !found {
		b.t.Fatalf("no button %q on %q", text, value[string](b, "document.body.innerText"))
	}
	b.until("!window.old && document.readyState === 'complete'")
}

// audit runs axe-core on the page and wants no violation.
func (b *browser) audit(page string) {
	b.t.Helper()
	source, err := os.ReadFile(filepath.Join(repository, ".tools", "axe.min.js"))
	if err != nil {
		b.t.Fatalf("%v: make browser brings it", err)
	}
	value[bool](b, string(source)+";true")
	for _, f := range value[[]string](b, `axe.run(document, {resultTypes: ["violations"]}).then((r) =>
		r.violations.flatMap((v) => v.nodes.map((n) => v.id + " (" + v.impact + "): " + n.target + ": " + n.failureSummary)))`, chromedp.EvalAwaitPromise) {
		b.t.Errorf("axe on %s: %s", page, f)
	}
}

// clean wants no exception, error or violation so far.
func (b *browser) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.faults {
		b.t.Error(f)
	}
	b.faults = nil
}

// picture writes a screenshot to docs/img if SCREENSHOTS is set.
func (b *browser) picture(name string) {
	b.t.Helper()
	if os.Getenv("SCREENSHOTS") == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	must(b.t, err)
	must(b.t, os.WriteFile(filepath.Join(repository, "docs", "img", name+".png"), png, 0o644))
}
