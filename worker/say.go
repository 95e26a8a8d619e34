package worker

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// maxProgressText is the masters' limit in bytes; more is cut.
const maxProgressText = 256

// Progress says how far a handler with this context, or one derived from it, has
// come: from 0 to 1, and in words. It may be called as often as one likes: the
// masters are told at most ten times a second, of the latest state. They keep it
// in the leader's memory while the attempt runs; after a change of the leader it
// is said again. Outside a handler nothing happens.
//
// The error is that of a fraction that is none; nothing is said then.
func Progress(ctx context.Context, fraction float64, message string) error {
	if math.IsNaN(fraction) || fraction < 0 || fraction > 1 {
		return fmt.Errorf("progress: got %v, want 0 to 1", fraction)
	}
	say(ctx, &taskraftv1.Progress{Fraction: fraction, Message: message})
	return nil
}

// ProgressOf is Progress for work that is counted: done of total.
func ProgressOf(ctx context.Context, done, total uint64, message string) error {
	if total == 0 || done > total {
		return fmt.Errorf("progress: got %d of %d, want a total and at most that", done, total)
	}
	say(ctx, &taskraftv1.Progress{Fraction: float64(done) / float64(total), Done: done, Total: total, Message: message})
	return nil
}

func say(ctx context.Context, p *taskraftv1.Progress) {
	if a := attemptOf(ctx); a != nil {
		p.Message = trim(strings.Map(printable, p.Message), maxProgressText)
		a.voice().progress(p)
	}
}

// printable makes one line of what may have several: masters refuse control
// characters.
func printable(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}

// Channel names a stream of output.
type Channel int32

// The channels, as a program has them.
const (
	Stdout = Channel(taskraftv1.OutputStream_STDOUT)
	Stderr = Channel(taskraftv1.OutputStream_STDERR)
)

// Output returns a writer for what a handler with this context, or one derived
// from it, has to show while it runs: `taskraft task logs -f` shows it. Writes
// never wait and never fail. The worker keeps the end of the output, at most 64
// KiB, and sends it as fast as it may; what the end has overtaken by then is lost,
// and readers are told how much. Output is no result: masters keep it in memory,
// and forget. Outside a handler it goes nowhere.
func Output(ctx context.Context, c Channel) io.Writer {
	a := attemptOf(ctx)
	if a == nil {
		return io.Discard
	}
	return channel{a.voice(), taskraftv1.OutputStream(c)}
}

type channel struct {
	v *voice
	s taskraftv1.OutputStream
}

func (c channel) Write(p []byte) (int, error) {
	c.v.write(c.s, p)
	return len(p), nil
}
