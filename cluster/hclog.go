package cluster

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// raftLog hands Raft's own log to slog. Raft calls "error" what heals by itself
// (a peer that does not answer), and repeats it many times a second: its errors
// become warnings, each message at most once per quiet interval, and its account
// of elections becomes debug output, because the leader loop says it in one line.
type raftLog struct {
	hclog.Logger // answers what Raft never asks
	log          *slog.Logger
	quiet        *quietly
}

// quietly remembers when a message was last let through.
type quietly struct {
	mu   sync.Mutex
	last map[string]time.Time
}

const quietFor = 10 * time.Second

// expected are errors that belong to every end of a peer's process.
var expected = map[string]bool{
	"failed to decode incoming command": true,
	"failed to flush response":          true,
}

func newRaftLog(l *slog.Logger) *raftLog {
	return &raftLog{
		Logger: hclog.NewNullLogger(),
		log:    l.With(slog.String("part", "raft")),
		quiet:  &quietly{last: map[string]time.Time{}},
	}
}

// pass reports whether a message may appear again.
func (q *quietly) pass(msg string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if now.Sub(q.last[msg]) < quietFor {
		return false
	}
	q.last[msg] = now
	return true
}

// Log implements hclog.Logger.
func (l *raftLog) Log(level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	if level >= hclog.Error && !expected[msg] {
		to = slog.LevelWarn
	}
	ctx := context.Background()
	if !l.log.Enabled(ctx, to) || (to > slog.LevelDebug && !l.quiet.pass(msg)) {
		return
	}
	l.log.Log(ctx, to, msg, plain(args)...)
}

// plain turns hclog's formatted values into text and cuts an odd last key.
func plain(args []any) []any {
	out := make([]any, 0, len(args))
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			a = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
		if i%2 == 0 && i == len(args)-1 {
			break
		}
		out = append(out, a)
	}
	return out
}

// Trace and the others implement hclog.Logger.
func (l *raftLog) Trace(msg string, args ...any) { l.Log(hclog.Trace, msg, args...) }

// Debug implements hclog.Logger.
func (l *raftLog) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }

// Info implements hclog.Logger.
func (l *raftLog) Info(msg string, args ...any) { l.Log(hclog.Info, msg, args...) }

// Warn implements hclog.Logger.
func (l *raftLog) Warn(msg string, args ...any) { l.Log(hclog.Warn, msg, args...) }

// Error implements hclog.Logger.
func (l *raftLog) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

// With implements hclog.Logger.
func (l *raftLog) With(args ...any) hclog.Logger {
	return &raftLog{Logger: l.Logger, log: l.log.With(plain(args)...), quiet: l.quiet}
}

// Named implements hclog.Logger; the part attribute says enough.
func (l *raftLog) Named(string) hclog.Logger { return l }

// ResetNamed implements hclog.Logger.
func (l *raftLog) ResetNamed(string) hclog.Logger { return l }

// StandardLogger implements hclog.Logger.
func (l *raftLog) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(l.log.Handler(), slog.LevelDebug)
}
