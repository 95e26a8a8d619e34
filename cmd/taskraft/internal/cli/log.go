package cli

import (
	"log/slog"
	"time"

	"github.com/lmittmann/tint"
)

// logger returns what --log-level and --log-format ask for, on stderr.
func (a *app) logger() *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.config.logLevel)); err != nil {
		level = slog.LevelInfo // checked before
	}
	if a.config.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(a.Err, &slog.HandlerOptions{Level: level}))
	}
	o := &tint.Options{Level: level, NoColor: !a.color(a.Err), TimeFormat: time.StampMilli}
	if !isTerminal(a.Err) {
		o.TimeFormat = "2006-01-02T15:04:05.000Z07:00"
	}
	return slog.New(tint.NewTextHandler(a.Err, o))
}
