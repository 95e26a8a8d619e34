package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/taskraft/taskraft/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func newTestRunner(t *testing.T, allow ...string) *runner {
	t.Helper()
	r, err := newRunner(Config{Allow: allow, Grace: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// execute runs a payload and decodes the result.
func execute(t *testing.T, ctx context.Context, r *runner, p any) (result, error) {
	t.Helper()
	data, ok := p.(string)
	if !ok {
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		data = string(b)
	}
	res, err := r.handle(ctx, &worker.Task{ID: 7, Fence: testFence, Attempt: 2, Worker: "w1", Payload: []byte(data)})
	var out result
	if res.Data != nil {
		if jsonErr := json.Unmarshal(res.Data, &out); jsonErr != nil {
			t.Fatalf("result %q: %v", res.Data, jsonErr)
		}
		if len(res.Data) > defaultMaxResult || res.ContentType != "application/json" {
			t.Fatalf("result of %d bytes, %s", len(res.Data), res.ContentType)
		}
	}
	return out, err
}

// testFence is not that of any process of another test run.
var testFence = uint64(os.Getpid())<<32 | uint64(time.Now().UnixNano()&0xffffffff)

func sh(script string) payload { return payload{Argv: []string{"/bin/sh", "-c", script}} }

// permanent reports whether err says that trying again cannot help. The type is
// the worker's own: its text is the only sign from here.
func permanent(err error) bool {
	return err != nil && fmt.Sprintf("%T", err) == fmt.Sprintf("%T", worker.Permanent(errors.New("x")))
}

// alive reports whether a process runs; a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func wantDead(t *testing.T, pidFile string) {
	t.Helper()
	data, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for field := range strings.FieldsSeq(string(data)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		for alive(pid) {
			select {
			case <-tick.C:
			case <-limit:
				_ = syscall.Kill(pid, syscall.SIGKILL)
				t.Fatalf("process %d still runs", pid)
			}
		}
	}
}

func script(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestResult(t *testing.T) {
	r := newTestRunner(t, "*")
	dir := t.TempDir()
	p := sh(`cat; echo out; echo err >&2; pwd; echo $LEVEL $TASKRAFT_TASK $TASKRAFT_FENCE $TASKRAFT_ATTEMPT $TASKRAFT_WORKER`)
	p.Stdin, p.Dir, p.Env = "in\n", dir, env{"LEVEL": "9"}
	got, err := execute(t, t.Context(), r, p)
	if err != nil {
		t.Fatal(err)
	}
	got.DurationMS = 0
	want := result{Stdout: fmt.Sprintf("in\nout\n%s\n9 7 %d 2 w1\n", dir, testFence), Stderr: "err\n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

// The worker's own secrets stay with it.
func TestEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("TASKRAFT_TOKEN", "secret")
	t.Setenv("MY_KEY", "mine")
	t.Setenv("MY_PUBLIC", "ours")
	r, err := newRunner(Config{Allow: []string{"*"}, PassEnv: []string{"MY_PUBLIC"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := execute(t, t.Context(), r, sh("env"))
	if err != nil || strings.Contains(got.Stdout, "secret") || strings.Contains(got.Stdout, "mine") || !strings.Contains(got.Stdout, "MY_PUBLIC=ours") {
		t.Fatalf("%v: %s", err, got.Stdout)
	}
}

// A program of a traced task goes on with its trace.
func TestTraceInTheEnvironment(t *testing.T) {
	r := newTestRunner(t, "/bin/sh")
	const script = `echo "${TRACEPARENT-none} ${TRACESTATE-none}"`
	t.Setenv("TRACEPARENT", "the worker's own")
	sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{15: 7}, SpanID: trace.SpanID{7: 9}, TraceFlags: trace.FlagsSampled})
	for want, ctx := range map[string]context.Context{
		"none none\n": t.Context(),
		"00-00000000000000000000000000000007-0000000000000009-01 \n": trace.ContextWithSpanContext(t.Context(), sc),
	} {
		if res, err := execute(t, ctx, r, sh(script)); err != nil || res.Stdout != want {
			t.Errorf("got %q %v, want %q", res.Stdout, err, want)
		}
	}
}

func TestH01(t *testing.T) {
	const ok = "#!/bin/sh\necho ran\n"
	good := script(t, "good", ok, 0o755)
	atStart := []struct{ name, allow, want string }{
		{"missing", "no-such-program", "executable file not found"},
		{"missing path", "/no/such/program", "no such file"},
		{"relative path", "./good", "relative"},
		{"relative path in a folder", "bin/good", "relative"},
		{"world-writable", script(t, "open", ok, 0o757), "writable by everybody"},
		{"not executable", script(t, "plain", ok, 0o644), "not executable"},
		{"directory", t.TempDir(), "directory"},
		{"device", "/dev/null", "not a regular file"},
		{"empty", "", "empty"},
	}
	for _, tt := range atStart {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(Config{Allow: []string{good, tt.allow}})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.allow) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			// With every program allowed the task fails for good.
			if _, err := execute(t, t.Context(), newTestRunner(t, "*"), payload{Argv: []string{tt.allow}}); !permanent(err) {
				t.Fatalf("got %v", err)
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		_, err := New(Config{Allow: []string{"no-such-1", "no-such-2"}})
		if err == nil || !strings.Contains(err.Error(), "no-such-1") || !strings.Contains(err.Error(), "no-such-2") {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("nothing", func(t *testing.T) {
		if _, err := New(Config{}); err == nil {
			t.Fatal("accepted")
		}
	})
	atTask := []struct{ name, program, want string }{
		{"not allowed", "/bin/sh", "/bin/sh"},
		{"not allowed by name", "sh", "sh"},
		{"no shebang", script(t, "bare", "echo ran\n", 0o755), "exec format error"},
		{"wrong format", script(t, "elf", "\x7fELF\x01\x01\x01junk", 0o755), "exec format error"},
		{"no interpreter", script(t, "lost", "#!/no/such/interpreter\n", 0o755), "no such file"},
	}
	r := newTestRunner(t, good, atTask[2].program, atTask[3].program, atTask[4].program, "echo")
	for _, tt := range atTask {
		t.Run(tt.name, func(t *testing.T) {
			_, err := execute(t, t.Context(), r, payload{Argv: []string{tt.program}})
			if !permanent(err) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.program) {
				t.Fatalf("got %v, want %q for good", err, tt.want)
			}
		})
	}
	t.Run("allowed", func(t *testing.T) {
		for _, program := range []string{good, "echo"} {
			if _, err := execute(t, t.Context(), r, payload{Argv: []string{program}}); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("gone since", func(t *testing.T) {
		if err := os.Remove(good); err != nil {
			t.Fatal(err)
		}
		if _, err := execute(t, t.Context(), r, payload{Argv: []string{good}}); !permanent(err) {
			t.Fatalf("got %v", err)
		}
	})
}

// H02: arguments reach the program byte for byte; no shell looks at them.
func TestH02(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "injected")
	args := []string{
		"; touch " + mark, "$(touch " + mark + ")", "`touch " + mark + "`", "| touch " + mark, "&& touch " + mark,
		"> " + mark, "$HOME", "*", "~", "a b", "", "\\", "'", "\"", "\n", "-rf", "--", "%s%n", "é\u202e", "{a,b}", "!!",
	}
	r := newTestRunner(t, "printf")
	got, err := execute(t, t.Context(), r, payload{Argv: append([]string{"printf", "%s\\0"}, args...)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(args, strings.Split(strings.TrimSuffix(got.Stdout, "\x00"), "\x00")); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("an argument was executed")
	}
	if _, err := execute(t, t.Context(), r, payload{Argv: []string{"printf", "a\x00b"}}); !permanent(err) || !strings.Contains(err.Error(), "argv[1]") {
		t.Errorf("a NUL byte: %v", err)
	}
}

func TestH03(t *testing.T) {
	r := newTestRunner(t, "*")
	for name, tt := range map[string]struct{ payload, want string }{
		"empty":              {``, "EOF"},
		"no JSON":            {`touch x`, "invalid character"},
		"no argv":            {`{}`, "argv"},
		"empty argv":         {`{"argv":[]}`, "argv"},
		"empty program":      {`{"argv":[""]}`, "argv"},
		"argv of another":    {`{"argv":"echo x"}`, "argv"},
		"extra field":        {`{"argv":["true"],"cmd":"x"}`, "cmd"},
		"extra value":        {`{"argv":["true"]} {}`, "more than one"},
		"relative dir":       {`{"argv":["true"],"dir":"tmp"}`, "dir"},
		"missing dir":        {`{"argv":["true"],"dir":"/no/such/dir"}`, "dir"},
		"dir that is a file": {`{"argv":["true"],"dir":"/etc/passwd"}`, "dir"},
		"too long":           {`{"argv":["true","` + strings.Repeat("x", 1<<18) + `"]}`, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := execute(t, t.Context(), r, tt.payload); !permanent(err) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q for good", err, tt.want)
			}
		})
	}
}

// H04: variables that would change which code runs, and what is no variable.
func TestH04(t *testing.T) {
	r := newTestRunner(t, "*")
	for name, tt := range map[string]struct{ env, want string }{
		"LD_PRELOAD":        {`{"LD_PRELOAD":"/x.so"}`, "LD_PRELOAD"},
		"LD_anything":       {`{"LD_AUDIT":"/x.so"}`, "LD_AUDIT"},
		"PATH":              {`{"PATH":"/tmp"}`, "PATH"},
		"DYLD":              {`{"DYLD_INSERT_LIBRARIES":"x"}`, "DYLD"},
		"the worker's own":  {`{"TASKRAFT_FENCE":"1"}`, "TASKRAFT_FENCE"},
		"duplicate":         {`{"A":"1","A":"2"}`, "twice"},
		"a list without =":  {`["A"]`, "env"},
		"empty name":        {`{"":"x"}`, "empty"},
		"= in the name":     {`{"A=B":"x"}`, "A=B"},
		"NUL in the value":  {`{"A":"\u0000"}`, "NUL"},
		"NUL in the name":   {`{"A\u0000":"x"}`, "NUL"},
		"not a string":      {`{"A":1}`, "string"},
		"an object as text": {`{"A":{"B":"C"}}`, "string"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := execute(t, t.Context(), r, `{"argv":["true"],"env":`+tt.env+`}`); !permanent(err) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q for good", err, tt.want)
			}
		})
	}
	if _, err := execute(t, t.Context(), r, `{"argv":["true"],"env":null}`); err != nil {
		t.Fatal(err)
	}
}

// H05: every way to exit.
func TestH05(t *testing.T) {
	r := newTestRunner(t, "*")
	for _, tt := range []struct {
		script    string
		code      int
		signal    string
		permanent bool
		want      string
	}{
		{"exit 0", 0, "", false, ""},
		{"echo a >&2; echo because >&2; exit 1", 1, "", false, "exit status 1: because"},
		{"exit 2", 2, "", false, "exit status 2"},
		{"exit 125", 125, "", false, "exit status 125"},
		{"exit 126", 126, "", true, "exit status 126"},
		{"exit 127", 127, "", true, "exit status 127"},
		{"exit 137", 137, "", false, "exit status 137"},
		{"kill -KILL $$", 137, "SIGKILL", false, "signal: killed"},
		{"kill -TERM $$", 143, "SIGTERM", false, "signal: terminated"},
		{"ulimit -c 0; kill -SEGV $$", 139, "SIGSEGV", false, "signal: segmentation fault"},
	} {
		t.Run(tt.script, func(t *testing.T) {
			got, err := execute(t, t.Context(), r, sh(tt.script))
			if got.ExitCode != tt.code || got.Signal != tt.signal {
				t.Errorf("got code %d, signal %q; want %d, %q", got.ExitCode, got.Signal, tt.code, tt.signal)
			}
			if (err == nil) != (tt.want == "") || permanent(err) != tt.permanent {
				t.Fatalf("got %v, permanent %v; want %q, %v", err, permanent(err), tt.want, tt.permanent)
			}
			if err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestOutputIsCapped(t *testing.T) {
	r := newTestRunner(t, "*")
	for name, tt := range map[string]struct {
		script    string
		truncated bool
		check     func(s string) bool
	}{
		"a lot":          {"head -c 3000000 /dev/zero | tr '\\0' x", true, func(s string) bool { return s == strings.Repeat("x", 30<<10) }},
		"as much as fit": {"head -c 30720 /dev/zero | tr '\\0' x", false, func(s string) bool { return len(s) == 30<<10 }},
		"not UTF-8":      {"printf 'a\\377b'", false, func(s string) bool { return s == "a�b" }},
		"random bytes":   {"head -c 100000 /dev/urandom", true, func(s string) bool { return len(s) > 1000 }},
		"long in JSON":   {"head -c 30720 /dev/zero", true, func(s string) bool { return len(s) == 30<<10/6 }},
		"runes":          {"i=0; while [ $i -lt 4000 ]; do printf 'éééééééééé'; i=$((i+1)); done", true, func(s string) bool { return s == strings.Repeat("é", 15<<10) }},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := execute(t, t.Context(), r, sh("{ "+tt.script+"; } && { "+tt.script+"; } >&2"))
			if err != nil {
				t.Fatal(err)
			}
			if got.StdoutTruncated != tt.truncated || got.StderrTruncated != tt.truncated || !tt.check(got.Stdout) || !tt.check(got.Stderr) {
				t.Fatalf("%d and %d bytes, truncated %v and %v: %.60q", len(got.Stdout), len(got.Stderr), got.StdoutTruncated, got.StderrTruncated, got.Stdout)
			}
		})
	}
}
