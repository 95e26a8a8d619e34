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

// capped keeps the first bytes of what is written to it.
type capped struct {
	most int
	kept []byte
	cut  bool
}

func newCapped(most int) *capped { return &capped{most: most} }

// Write keeps what fits and takes the rest as well: the program must not notice.
func (c *capped) Write(p []byte) (int, error) {
	n := min(len(p), c.most-len(c.kept))
	c.kept = append(c.kept, p[:n]...)
	c.cut = c.cut || n < len(p)
	return len(p), nil
}

// text returns what was kept as UTF-8 that takes at most c.most bytes in JSON.
func (c *capped) text() (s string, truncated bool) {
	kept := c.kept
	if c.cut { // not in the middle of a character
		for i := 1; i < utf8.UTFMax && i <= len(kept); i++ {
			if tail := kept[len(kept)-i:]; utf8.RuneStart(tail[0]) {
				if !utf8.FullRune(tail) {
					kept = kept[:len(kept)-i]
				}
				break
			}
		}
	}
	s = strings.ToValidUTF8(string(kept), "�")
	size := 0
	for i, r := range s {
		if size += jsonSize(r); size > c.most {
			return s[:i], true
		}
	}
	return s, c.cut
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
