package cron

import (
	"strings"
	"testing"
)

// TestParseRefuses: each refusal says which field is wrong and what it wants.
func TestParseRefuses(t *testing.T) {
	tests := []struct{ row, expr, zone, want string }{
		{"E24", "* * * * * *", "", "got 6 fields, want 5: minute hour"},
		{"E24", "61 * * * *", "", `field 1 (minute): "61": want 0 to 59`},
		{"E24", "@every 1ns", "", "whole seconds from 1s"},
		{"E24", "@reboot", "", "@reboot is not supported"},
		{"A26", "* * * * *", "Mars/Base", `unknown time zone "Mars/Base"`},
		{"", "", "", "got 0 fields"},
		{"", "* 24 * * *", "", `field 2 (hour): "24": want 0 to 23`},
		{"", "* * 0 * *", "", `field 3 (day of month): "0": want 1 to 31`},
		{"", "* * * 13 *", "", `field 4 (month): "13"`},
		{"", "* * * * 8", "", `field 5 (day of week): "8": want 0 to 7`},
		{"", "5-3 * * * *", "", "the range runs backwards"},
		{"", "*/0 * * * *", "", "want a step of 1 to 59"},
		{"", "*/90 * * * *", "", "want a step of 1 to 59"},
		{"", "1,,2 * * * *", "", `"": want 0 to 59`},
		{"", "+1 * * * *", "", `"+1": want 0 to 59`},
		{"", "* ? * * *", "", `"?": want 0 to 23`},
		{"", "* * 32W * *", "", `"32W": want 1 to 31`},
		{"", "* * * * FRI#6", "", `"FRI#6": want 0 to 7`},
		{"", "@every 1500ms", "", "whole seconds"},
		{"", "@every", "", "whole seconds"},
		{"", "@every 9000h", "", "whole seconds"},
		{"", "* * * * *", "Local", "differs between masters"},
		{"", "* * * * *", "../etc/passwd", "unknown time zone"},
		{"", strings.Repeat("1,", 200) + "1 * * * *", "", "at most 256"},
	}
	for _, tt := range tests {
		t.Run(tt.row+" "+tt.expr, func(t *testing.T) {
			if r, err := Parse(tt.expr, tt.zone); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, %v, want %q", r, err, tt.want)
			}
		})
	}
}

// FuzzParse: what is accepted has a next time, after the one before, or none.
func FuzzParse(f *testing.F) {
	for _, expr := range []string{"*/5 2-4 L * FRI#2,1L", "0 0 29 2 */7", "@every 61s", "? 0 ? * ?", "0 0 15W,1 JAN-DEC MON-SUN"} {
		f.Add(expr, "Europe/Berlin")
	}
	f.Fuzz(func(t *testing.T, expr, zone string) {
		r, err := Parse(expr, zone)
		if err != nil {
			return
		}
		now := at(t, "2026-03-28T12:00:00Z")
		for _, next := range r.Upcoming(now, 3) {
			if !next.After(now) || next.Nanosecond() != 0 {
				t.Fatalf("%q in %q: %s after %s", expr, zone, next, now)
			}
			now = next
		}
	})
}
