package cron

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// matcher answers by the book whether a wall-clock minute is in an expression; it
// shares nothing with the package or with gronx.
type matcher struct {
	minute, hour, dom, month, dow [60]bool
	either                        bool // both days are restricted
	last                          bool // L as day of month
	nth                           int  // of the weekday in dow; 0: any
	wholeDay                      bool
}

func newMatcher(expr string) *matcher {
	f := strings.Fields(expr)
	m := &matcher{minute: setOf(f[0], 0, 59), hour: setOf(f[1], 0, 23), month: setOf(f[3], 1, 12)}
	if m.last = f[2] == "L"; !m.last {
		m.dom = setOf(f[2], 1, 31)
	}
	weekday, n, _ := strings.Cut(f[4], "#")
	m.nth, _ = strconv.Atoi(n)
	m.dow = setOf(weekday, 0, 6)
	m.dow[0] = m.dow[0] || m.dow[7]
	m.either = f[2][0] != '*' && f[4] != "*" && !strings.HasPrefix(f[4], "*/")
	m.wholeDay = true
	for _, on := range m.hour[:24] {
		m.wholeDay = m.wholeDay && on
	}
	return m
}

func setOf(s string, low, high int) (out [60]bool) {
	for item := range strings.SplitSeq(s, ",") {
		span, stepText, _ := strings.Cut(item, "/")
		step, err := strconv.Atoi(stepText)
		if err != nil {
			step = 1
		}
		a, b := low, high
		if span != "*" {
			first, second, ranged := strings.Cut(span, "-")
			a, _ = strconv.Atoi(first)
			if ranged {
				b, _ = strconv.Atoi(second)
			} else if stepText == "" {
				b = a
			}
		}
		for v := a; v <= b; v += step {
			out[v] = true
		}
	}
	return out
}

// wall is what a clock on the wall shows, in minutes since 1970.
type wall int64

func (m *matcher) matches(w wall) bool {
	if !m.minute[w%60] || !m.hour[w/60%24] {
		return false
	}
	t := time.Unix(int64(w)*60, 0).UTC()
	dom := m.dom[t.Day()] || m.last && t.AddDate(0, 0, 1).Day() == 1
	dow := m.dow[t.Weekday()] && (m.nth == 0 || (t.Day()+6)/7 == m.nth)
	if m.either {
		return m.month[t.Month()] && (dom || dow)
	}
	return m.month[t.Month()] && dom && dow
}

// minuteOf is one minute that passes: the instant, what the wall clock shows, and
// what it should have shown next.
type minuteOf struct {
	at             int64
	shows, awaited wall
	again          bool // it has shown that before
}

func (m *minuteOf) jumps() bool { return m.again || m.awaited != m.shows }

func minutes(t *testing.T, zone string, from time.Time, years int) []minuteOf {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	var out []minuteOf
	newest := wall(0)
	for at, end := from, from.AddDate(years, 0, 0); at.Before(end); at = at.Add(time.Minute) {
		_, offset := at.In(loc).Zone()
		shows := wall(at.Unix()+int64(offset)) / 60
		m := minuteOf{at: at.Unix(), shows: shows, awaited: shows, again: shows <= newest}
		if !m.again && newest != 0 {
			m.awaited = newest + 1
		}
		newest = max(newest, shows)
		out = append(out, m)
	}
	return out
}

// fires says by the book whether a rule fires at this minute.
func (m *minuteOf) fires(x *matcher) bool {
	switch {
	case x.wholeDay:
		return x.matches(m.shows)
	case m.again:
		return false
	}
	for w := m.awaited; w <= m.shows; w++ { // more than one behind a gap
		if x.matches(w) {
			return true
		}
	}
	return false
}

// TestBruteForce compares Next with every minute of several years in zones whose
// clocks jump by an hour, half an hour, at midnight, by a day, or for Ramadan (S11).
func TestBruteForce(t *testing.T) {
	zones := []struct {
		name  string
		from  int // year
		years int
	}{
		{"Europe/Berlin", 2028, 1},
		{"America/New_York", 2026, 1},
		{"Australia/Lord_Howe", 2025, 1},
		{"America/Sao_Paulo", 2018, 1},
		{"Africa/Casablanca", 2026, 1},
		{"Pacific/Apia", 2011, 1},
		{"America/St_Johns", 2006, 1},
	}
	exprs := []string{
		"30 2 * * *", "0 0 * * *", "15 */2 20-31 3,10 *", "0,30 1-3 * * 0", "5 4 31 * *", "0 12 29 2 *", "0 3 1-7 * 1", "10 23 */10 * *",
		"45 * */8 * *", "17 0-23/1 28 3,10,11 *", "0 0 13 * 5", "20 2 L * *", "0 1 * * 7#2", "59 23 31 12 *", "0 2-23/7 * * 1-5",
	}
	for _, zone := range zones {
		t.Run(zone.name, func(t *testing.T) {
			t.Parallel()
			all := minutes(t, zone.name, time.Date(zone.from, 1, 1, 0, 0, 0, 0, time.UTC), zone.years)
			for _, expr := range exprs {
				compare(t, expr, zone.name, all)
			}
			for i := range all { // the densest rules, around each jump
				if all[i].jumps() && !all[max(i-1, 0)].jumps() {
					around := all[max(i-180, 0):min(i+180, len(all))]
					compare(t, "* * * * *", zone.name, around)
					compare(t, "* 0-22 * * *", zone.name, around)
				}
			}
		})
	}
}

func compare(t *testing.T, expr, zone string, all []minuteOf) {
	t.Helper()
	x, r := newMatcher(expr), rule(t, expr, zone)
	next, ok := r.Next(time.Unix(all[0].at, 0))
	n := 0
	for i := range all[1:] {
		m := &all[i+1]
		if !m.fires(x) {
			continue
		}
		if want := time.Unix(m.at, 0).UTC(); !ok || next != want {
			t.Fatalf("%s in %s: fires at %s, want %s", expr, zone, next, want)
		}
		n++
		next, ok = r.Next(next)
	}
	if last := time.Unix(all[len(all)-1].at, 0); ok && !next.After(last) {
		t.Fatalf("%s in %s: fires at %s, want nothing until %s", expr, zone, next, last)
	}
	if n == 0 && len(all) > 100_000 && expr != "0 12 29 2 *" {
		t.Fatalf("%s in %s never fired", expr, zone)
	}
}
