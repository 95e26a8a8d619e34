package cluster

import (
	"testing"
	"time"
)

// TestSnapshotsWithoutProgressEndTheNode: copies that come late do not, however many.
func TestSnapshotsWithoutProgressEndTheNode(t *testing.T) {
	type step struct {
		after   time.Duration
		applied uint64
	}
	for _, tt := range []struct {
		name  string
		steps []step
		ends  bool
	}{
		{"late copies, all at once", []step{{0, 9}, {0, 9}, {time.Second, 9}, {time.Second, 9}, {time.Second, 9}}, false},
		{"two, far apart", []step{{0, 9}, {idleFor, 9}}, false},
		{"an hour apart", []step{{0, 9}, {time.Hour, 9}, {time.Hour, 9}, {time.Hour, 9}}, false},
		{"with progress between", []step{{0, 9}, {idleFor, 10}, {idleFor, 11}, {idleFor, 12}, {0, 12}}, false},
		{"for ever", []step{{0, 9}, {idleFor / 2, 9}, {idleFor / 2, 9}}, true},
		{"for ever after progress", []step{{0, 9}, {0, 9}, {time.Hour, 10}, {idleFor / 2, 10}, {idleFor / 2, 10}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ended := 0
			i := &installs{fatal: func(*Fault) { ended++ }}
			now := time.Now()
			for _, s := range tt.steps {
				now = now.Add(s.after)
				i.refused(8, s.applied, now)
			}
			if (ended > 0) != tt.ends || ended > 1 {
				t.Errorf("ended %d times, want an end: %v", ended, tt.ends)
			}
		})
	}
}
