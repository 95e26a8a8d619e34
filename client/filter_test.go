package client

import (
	"testing"
	"time"
)

func TestTaskFilter(t *testing.T) {
	at := time.Date(2026, 1, 31, 10, 0, 0, 0, time.FixedZone("CET", 3600))
	for want, f := range map[string]TaskFilter{
		"": {},
		"state=READY,DEAD queue=mail kind=send batch=7 worker=w1 error=00ff": {States: []string{"READY", "DEAD"}, Queue: "mail", Kind: "send", Batch: 7, Worker: "w1", Error: "00ff"},
		`label."a b"="c\"d" label.tenant=7`:                                  {Labels: map[string]string{"tenant": "7", "a b": `c"d`}},
		"time>=2026-01-31T09:00:00Z time<2026-01-31T10:00:00Z":               {Since: at, Until: at.Add(time.Hour)},
	} {
		if got := f.String(); got != want {
			t.Errorf("%+v: got %s, want %s", f, got, want)
		}
	}
}
