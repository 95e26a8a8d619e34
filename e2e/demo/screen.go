package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// lineEvery is how often progress is a line where there is no terminal.
const lineEvery = 200 * time.Millisecond

// screen prints what happens with the time since the start. On a terminal a
// progress bar stays below the last line; elsewhere progress is a line now and then.
type screen struct {
	out      io.Writer
	terminal bool
	began    time.Time

	mu      sync.Mutex
	bar     string
	printed time.Time // of the last progress line off a terminal
}

func newScreen(out *os.File) *screen {
	info, err := out.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	return &screen{out: out, terminal: terminal, began: time.Now()}
}

// say prints one line.
func (s *screen) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	s.line(fmt.Sprintf(format, args...))
	fmt.Fprint(s.out, s.bar)
}

// progress shows how many of total are done.
func (s *screen) progress(done, total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal {
		const width = 40
		full := width * done / total
		s.wipe()
		s.bar = fmt.Sprintf("         [%s%s] %d/%d", strings.Repeat("#", full), strings.Repeat(".", width-full), done, total)
		fmt.Fprint(s.out, s.bar)
		return
	}
	if time.Since(s.printed) >= lineEvery {
		s.printed = time.Now()
		s.line(fmt.Sprintf("%d of %d completed", done, total))
	}
}

// finish removes the bar.
func (s *screen) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	s.bar = ""
}

func (s *screen) line(text string) {
	fmt.Fprintf(s.out, "%6.2f s  %s\n", time.Since(s.began).Seconds(), text)
}

func (s *screen) wipe() {
	if s.bar != "" {
		fmt.Fprint(s.out, "\r\x1b[K")
	}
}
