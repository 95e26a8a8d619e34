package proc

import (
	"testing"
	"time"
)

func TestUsage(t *testing.T) {
	p := start(t, "while :; do :; done")
	err := Poll(t.Context(), time.Millisecond, "it has used 50 ms", func() bool {
		return p.Usage().CPU >= 50*time.Millisecond
	})
	if err != nil {
		t.Fatal(err)
	}
	if u := p.Usage(); u.RSS < 100<<10 || u.RSS > 100<<20 || u.PeakRSS < u.RSS {
		t.Errorf("a shell uses %d bytes and used at most %d", u.RSS, u.PeakRSS)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if u := p.Usage(); u != (Usage{}) {
		t.Errorf("an ended process uses %+v", u)
	}
}
