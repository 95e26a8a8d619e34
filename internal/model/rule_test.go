package model

import (
	"testing"
	"time"

	"github.com/taskraft/taskraft/cluster/cron"
)

// TestRulesAgree asks the model and the product, which share no code, for the next
// times of rules around all that clocks do.
func TestRulesAgree(t *testing.T) {
	t.Parallel()
	rules := []string{
		"* * * * *", "30 2 * * *", "*/17 * * * *", "0 2,3 * * SUN", "15 0-23/3 1,15 * FRI", "0 3 L * *", "5 1-3 * JAN-OCT *",
		"45 23 * * 5#2", "0 12 * * FRIL", "10 0 */9 * MON", "59 1 ? * 7", "@hourly", "@daily", "@weekly", "@monthly", "@every 90s", "@every 1h",
	}
	for zone, dates := range map[string][]string{
		"Europe/Berlin":       {"2027-03-27", "2027-10-30", "2028-02-28"},
		"America/New_York":    {"2026-03-07", "2026-10-31"},
		"Australia/Lord_Howe": {"2026-04-04", "2026-10-03"}, // by half an hour
		"Pacific/Apia":        {"2011-12-28"},               // a day was left out
		"America/Sao_Paulo":   {"2018-11-03", "2018-02-17"}, // at midnight
		"":                    {"2026-12-31"},
	} {
		for _, date := range dates {
			begin, err := time.Parse(time.DateOnly, date)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range rules {
				mine, err := ParseRule(text, zone)
				if err != nil {
					t.Errorf("%v", err)
					continue
				}
				theirs, err := cron.Parse(text, zone)
				if err != nil {
					t.Fatal(err)
				}
				at := begin.Add(20 * time.Hour)
				for range 40 {
					next, ok := theirs.Next(at)
					if got := mine.Next(at.UnixNano()); !ok || got != next.UnixNano() {
						t.Errorf("%s in %q after %v: %v, the product says %v", text, zone, at.UTC(), time.Unix(0, got).UTC(), next.UTC())
						break
					}
					if at = next; at.Sub(begin) > 60*24*time.Hour {
						break
					}
				}
			}
		}
	}
}

// TestRulesRefused: what the model cannot read it does not guess.
func TestRulesRefused(t *testing.T) {
	for _, text := range []string{"", "* * * *", "0 0 15W * *", "@every soon", "@every 1ms", "x * * * *", "*/0 * * * *", "0 0 * * MON#x"} {
		if r, err := ParseRule(text, ""); err == nil {
			t.Errorf("%q was read as %+v", text, r)
		}
	}
	if _, err := ParseRule("* * * * *", "Europe/Nowhere"); err == nil {
		t.Error("a zone that is none was taken")
	}
}
