package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones exist on machines that have none
)

// Rule is when a schedule fires, as docs/schedules.md has it. It is asked minute by
// minute: whoever reads it compares it with the page, not with a calendar.
type Rule struct {
	every               int64 // of @every, ns; 0: five fields
	zone                *time.Location
	minute, hour, month map[int]bool
	day, weekday        []func(date time.Time) bool // any of these
	either              bool                        // one of the two days is enough
	byClock             bool                        // the hour field names hours
}

const horizon = 10 * 366 * 24 * hour // what does not fire within it never does

var (
	shorthands = map[string]string{
		"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
		"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
	}
	months   = strings.Fields("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC")
	weekdays = strings.Fields("SUN MON TUE WED THU FRI SAT")
)

// ParseRule reads a rule. Of what the product takes it refuses W.
func ParseRule(cron, zone string) (*Rule, error) {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return nil, fmt.Errorf("rule %q: %w", cron, err)
	}
	if text, ok := strings.CutPrefix(cron, "@every "); ok {
		every, err := time.ParseDuration(strings.TrimSpace(text))
		if err != nil || every < time.Second {
			return nil, fmt.Errorf("rule %q: no interval", cron)
		}
		return &Rule{every: int64(every)}, nil
	}
	if five, ok := shorthands[strings.ToLower(cron)]; ok {
		cron = five
	}
	f := strings.Fields(strings.ToUpper(cron))
	if len(f) != 5 {
		return nil, fmt.Errorf("rule %q: %d fields", cron, len(f))
	}
	r := &Rule{zone: loc}
	var errs [5]error
	r.minute, errs[0] = numbers(f[0], 0, 59, nil)
	r.hour, errs[1] = numbers(f[1], 0, 23, nil)
	r.day, errs[2] = days(f[2], dayOfMonth)
	r.month, errs[3] = numbers(f[3], 1, 12, months)
	r.weekday, errs[4] = days(f[4], dayOfWeek)
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", cron, err)
		}
	}
	r.byClock = len(r.hour) < 24
	r.either = !strings.ContainsAny(f[2][:1]+f[4][:1], "*?")
	return r, nil
}

// numbers reads a list of values, ranges and steps.
func numbers(field string, low, high int, names []string) (map[int]bool, error) {
	value := func(s string) (int, error) {
		if i := slices.Index(names, s); i >= 0 {
			return low + i, nil
		}
		return strconv.Atoi(s)
	}
	all := make(map[int]bool)
	for item := range strings.SplitSeq(field, ",") {
		span, step, stepped := strings.Cut(item, "/")
		by, from, to := 1, low, high
		var err error
		if stepped {
			if by, err = strconv.Atoi(step); err != nil || by < 1 {
				return nil, fmt.Errorf("step %q", item)
			}
		}
		if span != "*" && span != "?" {
			first, last, ranged := strings.Cut(span, "-")
			if from, err = value(first); err != nil {
				return nil, err
			}
			switch {
			case ranged:
				if to, err = value(last); err != nil {
					return nil, err
				}
			case !stepped:
				to = from
			}
		}
		for v := from; v <= to; v += by {
			all[v] = true
		}
	}
	return all, nil
}

// days reads a field whose items each say on which dates it is.
func days(field string, read func(string) (func(time.Time) bool, error)) (any []func(time.Time) bool, err error) {
	for item := range strings.SplitSeq(field, ",") {
		on, err := read(item)
		if err != nil {
			return nil, err
		}
		any = append(any, on)
	}
	return any, nil
}

func dayOfMonth(item string) (func(time.Time) bool, error) {
	if item == "L" {
		return func(d time.Time) bool { return d.AddDate(0, 0, 1).Day() == 1 }, nil
	}
	all, err := numbers(item, 1, 31, nil)
	return func(d time.Time) bool { return all[d.Day()] }, err
}

func dayOfWeek(item string) (func(time.Time) bool, error) {
	name, nth, counted := strings.Cut(item, "#")
	name, last := strings.CutSuffix(name, "L")
	n, err := strconv.Atoi(nth)
	if counted && err != nil {
		return nil, err
	}
	all, err := numbers(name, 0, 6, weekdays)
	return func(d time.Time) bool {
		on := all[int(d.Weekday())] || d.Weekday() == time.Sunday && all[7]
		return on && (!counted || (d.Day()+6)/7 == n) && (!last || d.AddDate(0, 0, 7).Month() != d.Month())
	}, err
}

// Next returns the first fire time after another; 0: never.
func (r *Rule) Next(after int64) int64 {
	if r.every > 0 {
		return (after/r.every + 1) * r.every
	}
	first := (after/minute + 1) * minute
	for t := first; t < first+horizon; t += minute {
		if r.fires(t) {
			return t
		}
	}
	return 0
}

// fires says whether the rule fires at the beginning of a minute. A rule for every
// hour fires whenever the clock shows a time of it. Any other fires once for a time
// that the clock shows twice, the first time, and once at the end of a gap for all
// times that the clock has skipped.
func (r *Rule) fires(t int64) bool {
	now := r.clock(t)
	if !r.byClock {
		return r.names(now)
	}
	for shows := r.clock(t-minute) + 1; shows <= now; shows++ {
		if r.names(shows) && !r.shown(shows, t) {
			return true
		}
	}
	return false
}

// clock is what the clocks of the zone show at a time, in minutes since 1970.
func (r *Rule) clock(t int64) int64 {
	_, offset := time.Unix(0, t).In(r.zone).Zone()
	return (t/second + int64(offset)) / 60
}

// shown says whether the clocks have shown a minute before a time.
func (r *Rule) shown(shows, t int64) bool {
	for u := t - minute; u >= t-26*hour; u -= minute {
		if r.clock(u) >= shows {
			return true
		}
	}
	return false
}

// names says whether the rule's fields name what a clock shows.
func (r *Rule) names(shows int64) bool {
	if !r.minute[int(shows%60)] || !r.hour[int(shows/60%24)] {
		return false
	}
	date := time.Unix(shows*60, 0).UTC()
	on := func(f func(time.Time) bool) bool { return f(date) }
	day, weekday := slices.ContainsFunc(r.day, on), slices.ContainsFunc(r.weekday, on)
	return r.month[int(date.Month())] && (day && weekday || r.either && (day || weekday))
}
