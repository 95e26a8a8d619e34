package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// stack is one sample: who ran, and in what, innermost first.
type stack struct {
	process int
	command string
	frames  string // each on a line
}

// readStacks reads what `perf script -F comm,pid,ip,sym` prints: a line that names
// the process, a line for each frame, an empty line.
func readStacks(r io.Reader) ([]stack, error) {
	var stacks []stack
	var frames strings.Builder
	var open *stack
	end := func() {
		if open != nil {
			open.frames = frames.String()
			stacks = append(stacks, *open)
		}
		open = nil
		frames.Reset()
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "":
			end()
		case open == nil:
			at := strings.LastIndexByte(line, ' ')
			process, err := strconv.Atoi(line[at+1:])
			if err != nil {
				return nil, fmt.Errorf("read samples: %q names no process", line)
			}
			open = &stack{process: process, command: strings.TrimSpace(line[:max(at, 0)])}
		default:
			_, symbol, _ := strings.Cut(line, " ")
			frames.WriteString(symbol)
			frames.WriteByte('\n')
		}
	}
	end()
	return stacks, lines.Err()
}
