package cron

import (
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

func rule(t *testing.T, expr, zone string) *Rule {
	t.Helper()
	r, err := Parse(expr, zone)
	if err != nil {
		t.Fatalf("%s in %s: %v", expr, zone, err)
	}
	return r
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	tm, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return tm
}

// TestNominalTimes is the table of what jumps of the wall clock and the calendar
// mean (G04, S11).
func TestNominalTimes(t *testing.T) {
	tests := []struct {
		row, name, expr, zone, after string
		want                         []string // UTC
	}{
		{
			"G04", "a time in a gap runs once, right after it", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
		},
		{
			"G04", "several times in a gap run once together", "*/20 2 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
			[]string{"2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z", "2026-03-30T00:20:00Z"},
		},
		{
			"G04", "a time in a gap and one at its end are one", "0 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
			[]string{"2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z", "2026-03-30T01:00:00Z"},
		},
		{
			"G04", "a gap takes nothing from every hour", "30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
			[]string{"2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"},
		},
		{
			"G04", "a time that comes twice runs the first time", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		},
		{
			"G04", "every hour runs in both passes", "30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z",
			[]string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"},
		},
		{
			"G04", "asked in the second pass", "45 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z",
			[]string{"2026-10-26T01:45:00Z"},
		},
		{
			"G04", "half an hour of daylight saving", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z",
			[]string{"2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"},
		},
		{
			"G04", "a whole day is missing", "0 9 * * *", "Pacific/Apia", "2011-12-29T10:00:00Z",
			[]string{"2011-12-29T19:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T19:00:00Z"},
		},
		{
			"G04", "29 Feb", "0 12 29 2 *", "UTC", "2096-02-29T12:00:00Z",
			[]string{"2104-02-29T12:00:00Z", "2108-02-29T12:00:00Z"},
		},
		{
			"G04", "around a leap second", "* * * * *", "UTC", "2016-12-31T23:58:59.5Z",
			[]string{"2016-12-31T23:59:00Z", "2017-01-01T00:00:00Z"},
		},
		{
			"G04", "the zone's rules changed", "0 12 * * *", "Europe/Istanbul", "2016-10-29T12:00:00Z",
			[]string{"2016-10-30T09:00:00Z"},
		},
		{"", "either day suffices", "0 0 13 * FRI", "UTC", "2026-02-10T00:00:00Z", []string{"2026-02-13T00:00:00Z", "2026-02-20T00:00:00Z"}},
		{"", "last day of the month", "0 0 L * *", "UTC", "2028-02-01T00:00:00Z", []string{"2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z"}},
		{"", "third Friday", "0 0 * * FRI#3", "UTC", "2026-01-01T00:00:00Z", []string{"2026-01-16T00:00:00Z"}},
		{"", "an interval counts from 1970", "@every 90s", "Europe/Berlin", "2026-01-01T00:00:10Z", []string{"2026-01-01T00:01:30Z", "2026-01-01T00:03:00Z"}},
		{"", "@daily is midnight in the zone", "@daily", "Asia/Kathmandu", "2026-01-01T00:00:00Z", []string{"2026-01-01T18:15:00Z"}},
	}
	for _, tt := range tests {
		t.Run(tt.row+" "+tt.name, func(t *testing.T) {
			var got []string
			for _, at := range rule(t, tt.expr, tt.zone).Upcoming(at(t, tt.after), len(tt.want)) {
				got = append(got, at.Format(time.RFC3339))
			}
			if diff := gocmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s in %s after %s (-want +got):\n%s", tt.expr, tt.zone, tt.after, diff)
			}
		})
	}
}

// TestNever: a date that does not exist never comes, and is found out quickly.
func TestNever(t *testing.T) {
	for _, expr := range []string{"0 0 30 2 *", "0 0 31 4,6,9,11 *"} {
		if next, ok := rule(t, expr, "Europe/Berlin").Next(at(t, "2026-01-01T00:00:00Z")); ok {
			t.Errorf("%s fires at %s", expr, next)
		}
	}
}

// TestLatest compares Latest with an enumeration.
func TestLatest(t *testing.T) {
	from, to := at(t, "2026-10-20T03:10:00Z"), at(t, "2026-10-27T00:00:00Z")
	for _, expr := range []string{"*/7 * * * *", "30 2 * * *", "0 0 1 * *", "@every 11m"} {
		r := rule(t, expr, "Europe/Berlin")
		var all []time.Time
		for next, ok := r.Next(from); ok && !next.After(to); next, ok = r.Next(next) {
			all = append(all, next)
		}
		for _, n := range []int{0, 1, 2, 5, 100_000} {
			want := all[max(len(all)-n, 0):]
			if got := r.Latest(from, to, n); !slices.Equal(got, want) {
				t.Errorf("%s: the newest %d are %v, want %v", expr, n, got, want)
			}
		}
	}
}

func BenchmarkNext(b *testing.B) {
	r, err := Parse("30 2 * * MON-FRI", "Europe/Berlin")
	if err != nil {
		b.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for b.Loop() {
		r.Next(now)
	}
}
