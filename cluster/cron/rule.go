package cron

import (
	"fmt"
	"time"

	"github.com/adhocore/gronx"
)

// Horizon is how far Next looks. A rule that does not fire within it never does:
// every date that exists comes again within eight years.
const Horizon = 10 // years

// Rule is a parsed expression in its time zone.
type Rule struct {
	expr  string // five fields; empty for an interval
	every time.Duration
	zone  *time.Location
	wall  bool // the hour field names hours: see the package comment
}

// Next returns the first fire time after t; ok is false when there is none
// within the Horizon.
func (r *Rule) Next(t time.Time) (next time.Time, ok bool) {
	if r.every > 0 {
		since := t.Unix()
		step := int64(r.every / time.Second)
		return time.Unix(since+step-floorMod(since, step), 0).UTC(), true
	}
	t = time.Unix(t.Unix(), 0).In(r.zone)
	local, inclusive := wallClock(t), false
	if shown := r.shown(t); local.Before(shown) {
		local, inclusive = shown, true
	}
	for end := t.AddDate(Horizon, 0, 0); t.Before(end); {
		n, err := gronx.NextTickAfter(r.expr, local, inclusive)
		if err != nil {
			return time.Time{}, false
		}
		at := t.Add(n.Sub(wallClock(t))) // if the clock does not jump
		jump, jumps := nextJump(t, at)
		if !jumps {
			return at.UTC(), at.Before(end)
		}
		t = jump
		if r.wall && n.Before(wallClock(t)) { // in the gap
			return t.UTC(), true
		}
		local, inclusive = wallClock(t), true
		if shown := r.shown(t); local.Before(shown) {
			local = shown
		}
	}
	return time.Time{}, false
}

// shown is the first time that the wall clock has not shown at t: later than
// what it shows, when it was put back a while ago. Rules that do not go by the
// wall clock do not look at it.
func (r *Rule) shown(t time.Time) time.Time {
	if !r.wall {
		return time.Time{}
	}
	before := t.Add(-2 * day)
	jump, jumps := nextJump(before, t)
	if !jumps {
		return time.Time{}
	}
	_, offset := before.Zone()
	return wallClockAt(jump, offset)
}

// Upcoming returns the first n fire times after t, fewer when there are no more.
func (r *Rule) Upcoming(t time.Time, n int) []time.Time {
	var out []time.Time
	for len(out) < n {
		next, ok := r.Next(t)
		if !ok {
			break
		}
		out = append(out, next)
		t = next
	}
	return out
}

// Latest returns the newest fire times, at most n, that are after from and not
// after to, oldest first. It costs in proportion to n, however long the span.
func (r *Rule) Latest(from, to time.Time, n int) []time.Time {
	if n <= 0 {
		return nil
	}
	for span := time.Minute; ; span *= 4 {
		start := to.Add(-span)
		whole := !start.After(from)
		if whole {
			start = from
		}
		var all []time.Time
		for at, ok := r.Next(start); ok && !at.After(to); at, ok = r.Next(at) {
			all = append(all, at)
		}
		if whole || len(all) >= n {
			return all[max(len(all)-n, 0):]
		}
	}
}

const day = 24 * time.Hour

// nextJump returns the first instant after t, and not after to, at which the
// wall clock of t's zone jumps. It looks once a day: no zone jumps to and fro
// within one. (time.Time.ZoneBounds errs on the last day of leap years that the
// tz database does not list.)
func nextJump(t, to time.Time) (jump time.Time, ok bool) {
	_, offset := t.Zone()
	jumped := func(at time.Time) bool {
		_, o := at.Zone()
		return o != offset
	}
	for low := t; low.Before(to); {
		high := low.Add(day)
		if high.After(to) {
			high = to
		}
		if !jumped(high) {
			low = high
			continue
		}
		for high.Sub(low) > time.Second {
			if mid := low.Add(high.Sub(low).Truncate(2*time.Second) / 2); jumped(mid) {
				high = mid
			} else {
				low = mid
			}
		}
		return high, true
	}
	return time.Time{}, false
}

// wallClock is what clocks in t's zone show at t, as a time in UTC.
func wallClock(t time.Time) time.Time {
	_, offset := t.Zone()
	return wallClockAt(t, offset)
}

func wallClockAt(t time.Time, offset int) time.Time {
	return time.Unix(t.Unix()+int64(offset), 0).UTC()
}

func floorMod(a, b int64) int64 { return (a%b + b) % b }

// String is the rule as people write it.
func (r *Rule) String() string {
	if r.every > 0 {
		return fmt.Sprintf("@every %s", r.every)
	}
	return r.expr
}
