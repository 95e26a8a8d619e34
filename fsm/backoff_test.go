package fsm

import (
	"testing"

	"pgregory.net/rapid"
)

// TestBackoff holds the formula of §3 (S10).
func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		task        uint64
		k           uint32
		base, limit int64
		want        int64
	}{
		{1, 1, Second, 10 * Minute, 1_040_210_818},
		{1, 2, Second, 10 * Minute, 2_331_194_602},
		{7, 5, Second, 10 * Minute, 13_381_388_473},
		{7, 99, Second, 10 * Minute, 505_625_504_123},
		{1, 1, 0, Minute, 0},
		{1, 80, 0, Minute, 0},
		{1, 1, -5, Minute, 0},
		{1, 1, 5, -1, 0},
	} {
		if got := backoff(c.task, c.k, c.base, c.limit); got != c.want {
			t.Errorf("backoff(%d, %d, %d, %d) = %d, want %d", c.task, c.k, c.base, c.limit, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		task, k := rapid.Uint64().Draw(t, "task"), rapid.Uint32Min(1).Draw(t, "k")
		base, limit := rapid.Int64Min(0).Draw(t, "base"), rapid.Int64Min(0).Draw(t, "limit")
		d := base
		for range min(k-1, 64) {
			d = min(addTime(d, d), limit)
		}
		d = min(d, limit)
		got := backoff(task, k, base, limit)
		if got < d-d/5 || got > addTime(d, d/5) || got != backoff(task, k, base, limit) {
			t.Fatalf("backoff = %d, want %d ± 20 %%", got, d)
		}
	})
}
