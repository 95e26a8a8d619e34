package peer

import (
	"errors"
	"os"
	"testing"
	"time"
)

func TestStamp(t *testing.T) {
	payload := make([]byte, 256)
	Stamp(payload, 3*time.Second, 42)
	if at, n := ReadStamp(payload); at != 3*time.Second || n != 42 {
		t.Errorf("read %v and %d", at, n)
	}
	if at, n := ReadStamp(payload[:8]); at != 0 || n != 0 {
		t.Errorf("read %v and %d from a payload that is too short", at, n)
	}
}

func TestUsage(t *testing.T) {
	pids := []int{os.Getpid()}
	before, err := UsageOf(pids)
	if err != nil {
		t.Fatal(err)
	}
	for OwnCPU() < before.CPU+50*time.Millisecond { // use some
		_ = make([]byte, 1<<16)
	}
	after, err := UsageOf(pids)
	if err != nil {
		t.Fatal(err)
	}
	if used := after.Since(before); used.CPU <= 0 {
		t.Errorf("used %v of CPU time", used.CPU)
	}
	if rss, err := LargestRSS(pids); err != nil || rss == 0 {
		t.Errorf("resident memory %d, %v", rss, err)
	}
}

func TestShare(t *testing.T) {
	sum := 0
	for i := range 4 {
		sum += share(10, 4, i)
	}
	if sum != 10 || share(10, 4, 0) != 3 || share(10, 4, 3) != 2 {
		t.Error("10 slots are not shared as 3, 3, 2, 2")
	}
}

func TestMissingProgram(t *testing.T) {
	if _, err := program("no-such-program", t.TempDir()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a program that is not there: %v", err)
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range All() {
		if seen[s.Name] || len(s.Single) == 0 || len(s.Settings) == 0 || s.New == nil {
			t.Errorf("%s is incomplete or there twice", s.Name)
		}
		seen[s.Name] = true
	}
}
