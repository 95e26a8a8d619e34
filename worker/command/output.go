package command

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/taskraft/taskraft/worker"
)

// capped keeps the last bytes of what is written to it: a program says at its end
// why it ends.
type capped struct {
	most int
	kept []byte // the end of it, and at most as much again before that
	cut  bool
}

func newCapped(most int) *capped { return &capped{most: most} }

// Write takes everything: the program must not notice.
func (c *capped) Write(p []byte) (int, error) {
	n := len(p)
	if len(p) > c.most {
		c.kept, c.cut, p = c.kept[:0], true, p[len(p)-c.most:]
	}
	if len(c.kept)+len(p) > 2*c.most {
		c.kept, c.cut = append(c.kept[:0], c.kept[len(c.kept)-c.most:]...), true
	}
	c.kept = append(c.kept, p...)
	return n, nil
}

// text returns the end of it as UTF-8 that takes at most c.most bytes in JSON.
func (c *capped) text() (s string, truncated bool) {
	kept, cut := c.kept, c.cut
	if len(kept) > c.most {
		kept, cut = kept[len(kept)-c.most:], true
	}
	for i := 0; cut && i < utf8.UTFMax && len(kept) > 0 && !utf8.RuneStart(kept[0]); i++ { // not in the middle of a character
		kept = kept[1:]
	}
	s = strings.ToValidUTF8(string(kept), "�")
	from := len(s)
	for size := 0; from > 0; {
		r, n := utf8.DecodeLastRuneInString(s[:from])
		if size += jsonSize(r); size > c.most {
			return s[from:], true
		}
		from -= n
	}
	return s, cut
}

// jsonSize is how many bytes r takes in a JSON string.
func jsonSize(r rune) int {
	switch {
	case r == '"' || r == '\\' || r == '\n' || r == '\r' || r == '\t' || r == '\b' || r == '\f':
		return 2
	case r < ' ' || r == '\u2028' || r == '\u2029':
		return 6
	}
	return utf8.RuneLen(r)
}

// result is what is kept of a program's run.
type result struct {
	ExitCode        int    `json:"exit_code"` // 128 + n after signal n, as shells count
	Signal          string `json:"signal"`
	Stdout          string `json:"stdout"`
	Stderr          string `json:"stderr"`
	StdoutTruncated bool   `json:"stdout_truncated"`
	StderrTruncated bool   `json:"stderr_truncated"`
	DurationMS      int64  `json:"duration_ms"`
}

func outcome(state *os.ProcessState) result {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return result{ExitCode: 128 + int(ws.Signal()), Signal: signalName(ws.Signal())}
	}
	return result{ExitCode: state.ExitCode()}
}

func (r result) encode() worker.Result {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(r) // strings and numbers always encode
	return worker.Result{Data: bytes.TrimSuffix(b.Bytes(), []byte("\n")), ContentType: "application/json"}
}

var signalNames = map[syscall.Signal]string{
	syscall.SIGABRT: "SIGABRT", syscall.SIGALRM: "SIGALRM", syscall.SIGBUS: "SIGBUS", syscall.SIGFPE: "SIGFPE",
	syscall.SIGHUP: "SIGHUP", syscall.SIGILL: "SIGILL", syscall.SIGINT: "SIGINT", syscall.SIGKILL: "SIGKILL",
	syscall.SIGPIPE: "SIGPIPE", syscall.SIGQUIT: "SIGQUIT", syscall.SIGSEGV: "SIGSEGV", syscall.SIGTERM: "SIGTERM",
	syscall.SIGTRAP: "SIGTRAP", syscall.SIGUSR1: "SIGUSR1", syscall.SIGUSR2: "SIGUSR2", syscall.SIGXCPU: "SIGXCPU", syscall.SIGXFSZ: "SIGXFSZ",
}

func signalName(s syscall.Signal) string {
	if name, ok := signalNames[s]; ok {
		return name
	}
	return s.String()
}
