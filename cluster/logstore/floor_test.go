package logstore

import (
	"testing"

	"github.com/taskraft/taskraft/cluster/datadir"
)

func TestCheckFloor(t *testing.T) { eachKind(t, testCheckFloor) }

func testCheckFloor(t *testing.T) {
	for _, tt := range []struct {
		name   string
		lo, hi uint64 // the log
		floor  []uint64
		newest uint64
		err    string
	}{
		{"no floor yet", 1, 10, nil, 0, ""},
		{"the snapshot is there", 0, 0, []uint64{50}, 50, ""},
		{"a newer one is", 0, 0, []uint64{50}, 60, ""},
		{"the log has it all", 1, 50, []uint64{50}, 0, ""},
		{"nothing is there", 0, 0, nil, 0, "the log is empty and there is no snapshot"},
		{"the snapshot is lost", 0, 0, []uint64{50}, 0, "ends at entry 0 and the newest snapshot at 0, but this master had a snapshot up to 50"},
		{"an older one is left", 0, 0, []uint64{40, 50}, 40, "the newest snapshot at 40, but this master had a snapshot up to 50"},
		{"the floor never sinks", 0, 0, []uint64{50, 40}, 40, "up to 50"},
		{"the log ends before", 1, 49, []uint64{50}, 40, "the log ends at entry 49 and the newest snapshot at 40"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := owned(t, Config{})
			for _, index := range tt.floor {
				if err := s.RaiseFloor(index); err != nil {
					t.Fatal(err)
				}
			}
			if tt.hi > 0 {
				fill(t, s, tt.lo, tt.hi, 10)
			}
			err := reopen(t, s).CheckFloor(tt.newest, false)
			if tt.err != "" {
				wantError(t, err, datadir.Disk, tt.err)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDropSupersededRaisesTheFloor(t *testing.T) { eachKind(t, testDropSupersededRaisesTheFloor) }

func testDropSupersededRaisesTheFloor(t *testing.T) {
	s := owned(t, Config{})
	fill(t, s, 1, 10, 10)
	if _, err := s.DropSuperseded(50, 1); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.CheckFloor(0, false), datadir.Disk, "up to 50")
}
