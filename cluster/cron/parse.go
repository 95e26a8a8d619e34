package cron

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// MaxExpr is the length in bytes of the longest expression.
const MaxExpr = 256

// maxEvery bounds an interval.
const maxEvery = 365 * 24 * time.Hour

// field is one of the five parts of an expression.
type field struct {
	name     string
	min, max int
	names    []string       // of the values from min on
	special  *regexp.Regexp // forms of this field alone
}

var fields = [5]field{
	{name: "minute", max: 59},
	{name: "hour", max: 23},
	{name: "day of month", min: 1, max: 31, special: regexp.MustCompile(`^(L|([1-9]|[12][0-9]|3[01])W)$`)},
	{name: "month", min: 1, max: 12, names: strings.Fields("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC")},
	{name: "day of week", max: 7, names: strings.Fields("SUN MON TUE WED THU FRI SAT"), special: regexp.MustCompile(`^[0-7](L|#[1-5])$`)},
}

// shorthands are whole expressions with a name.
var shorthands = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// Parse reads a rule: five fields (minute, hour, day of month, month, day of
// week) with *, numbers, names, ranges, steps and lists, and L, W and # for
// days; @hourly, @daily, @weekly, @monthly, @yearly; or @every with a duration of
// at least a second, counted from 1970. When both days are restricted, either
// suffices. An empty zone is UTC.
//
// An error says which field is wrong and what it wants.
func Parse(expr, zone string) (*Rule, error) {
	loc, err := Zone(zone)
	if err != nil {
		return nil, err
	}
	r := &Rule{zone: loc}
	switch {
	case len(expr) > MaxExpr:
		return nil, fmt.Errorf("got %d bytes, want at most %d", len(expr), MaxExpr)
	case strings.HasPrefix(expr, "@"):
		return parseShorthand(r, expr)
	}
	parts := strings.Fields(expr)
	if len(parts) != len(fields) {
		return nil, fmt.Errorf("got %d fields, want 5: minute hour day-of-month month day-of-week", len(parts))
	}
	for i, f := range fields {
		parts[i] = strings.ToUpper(parts[i])
		if err := f.check(parts[i]); err != nil {
			return nil, fmt.Errorf("field %d (%s): %w", i+1, f.name, err)
		}
	}
	r.expr = strings.Join(parts, " ")
	r.wall = !everyHour(parts[1])
	return r, nil
}

func parseShorthand(r *Rule, expr string) (*Rule, error) {
	name, arg, _ := strings.Cut(expr, " ")
	if name == "@every" {
		d, err := time.ParseDuration(strings.TrimSpace(arg))
		if err != nil || d < time.Second || d > maxEvery || d%time.Second != 0 {
			return nil, fmt.Errorf("@every %s: want whole seconds from 1s to %s, like @every 90s", arg, maxEvery)
		}
		r.every = d
		return r, nil
	}
	five, ok := shorthands[strings.ToLower(expr)]
	if !ok {
		return nil, fmt.Errorf("%s is not supported, want five fields, @every DURATION, @hourly, @daily, @weekly, @monthly or @yearly", expr)
	}
	r.expr, r.wall = five, name != "@hourly"
	return r, nil
}

// Zone returns the time zone of that name in the tz database; empty is UTC.
func Zone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, errors.New(`time zone "Local" differs between masters, want a name like Europe/Berlin`)
	}
	if loc, ok := zones.Load(name); ok {
		return loc.(*time.Location), nil
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("unknown time zone %.64q, want a name like Europe/Berlin", name)
	}
	zones.Store(name, loc)
	return loc, nil
}

// zones keeps what was read from the tz database.
var zones sync.Map

// check accepts what one field may hold.
func (f *field) check(s string) error {
	for item := range strings.SplitSeq(s, ",") {
		if f.special != nil && f.special.MatchString(f.numeric(item)) {
			continue
		}
		if err := f.checkItem(item); err != nil {
			return err
		}
	}
	return nil
}

func (f *field) checkItem(item string) error {
	span, step, stepped := strings.Cut(item, "/")
	if stepped {
		if n, err := strconv.Atoi(step); err != nil || n < 1 || n > f.max || step[0] == '+' {
			return fmt.Errorf("%q: want a step of 1 to %d after /", item, f.max)
		}
	}
	if span == "*" || span == "?" && !stepped && f.special != nil {
		return nil
	}
	low, high, ranged := strings.Cut(span, "-")
	a, err := f.value(low)
	if err != nil {
		return err
	}
	if !ranged {
		return nil
	}
	b, err := f.value(high)
	switch {
	case err != nil:
		return err
	case b < a:
		return fmt.Errorf("%q: the range runs backwards", item)
	}
	return nil
}

func (f *field) value(s string) (int, error) {
	n, err := strconv.Atoi(f.numeric(s))
	if err != nil || n < f.min || n > f.max || s[0] == '+' {
		return 0, fmt.Errorf("%q: want %d to %d", s, f.min, f.max)
	}
	return n, nil
}

// numeric puts the number for a name at the beginning of s.
func (f *field) numeric(s string) string {
	for i, name := range f.names {
		if rest, ok := strings.CutPrefix(s, name); ok {
			return strconv.Itoa(f.min+i) + rest
		}
	}
	return s
}

// everyHour reports whether the hour field leaves no hour out.
func everyHour(s string) bool {
	var hours [24]bool
	for item := range strings.SplitSeq(s, ",") {
		span, stepText, stepped := strings.Cut(item, "/")
		step := 1
		if stepped {
			step, _ = strconv.Atoi(stepText)
		}
		low, high, ranged := strings.Cut(span, "-")
		a, b := 0, 23
		if span != "*" {
			a, _ = strconv.Atoi(low)
			switch {
			case ranged:
				b, _ = strconv.Atoi(high)
			case !stepped:
				b = a
			}
		}
		for h := a; h <= b; h += step {
			hours[h] = true
		}
	}
	for _, on := range hours {
		if !on {
			return false
		}
	}
	return true
}
