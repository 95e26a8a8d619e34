package report

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/taskraft/taskraft/bench/cells"
)

// results are two rounds with a known outcome.
func results() []cells.Result {
	return []cells.Result{
		{Cell: "unbatched", System: "taskraft", Way: "Submit", Round: 1, Lifecycles: 200},
		{Cell: "unbatched", System: "nats-always", Way: "publish, double ack", Round: 1, Lifecycles: 40},
		{Cell: "unbatched", System: "nats-always", Way: "publish, plain ack", Round: 1, Lifecycles: 80},
		{Cell: "unbatched", System: "river", Way: "Insert", Round: 1, Skipped: "initdb: not installed"},
		{Cell: "unbatched", System: "taskraft", Way: "Submit", Round: 2, Lifecycles: 400},
		{Cell: "unbatched", System: "nats-always", Way: "publish, double ack", Round: 2, Lifecycles: 60},
		{Cell: "unbatched", System: "nats-always", Way: "publish, plain ack", Round: 2, Failed: "no\nluck"},
		{Cell: "kill", System: "taskraft", Way: "Submit", Gaps: []float64{10, 30, 20}},
		{Cell: "kill", System: "nats-always", Way: "publish, double ack", Gaps: []float64{500}},
	}
}

func TestSummary(t *testing.T) {
	find := func(cell, system, way string) Line {
		for _, l := range Summarize(results()) {
			if l.Cell == cell && l.System == system && l.Way == way {
				return l
			}
		}
		t.Fatalf("no line for %s on %s, %s", cell, system, way)
		return Line{}
	}
	if l := find("unbatched", "taskraft", "Submit"); l.Lifecycles != 300 || !l.Best || l.Factor != 0 || l.Range != [2]float64{200, 400} {
		t.Errorf("Taskraft: %+v", l)
	}
	if l := find("unbatched", "nats-always", "publish, double ack"); l.Factor != 6 || l.Best {
		t.Errorf("slower way: %+v", l)
	}
	if l := find("unbatched", "nats-always", "publish, plain ack"); l.Factor != 3.75 || !l.Best || l.Runs != 1 || l.Note == "" {
		t.Errorf("faster way, one run failed: %+v", l)
	}
	if l := find("unbatched", "river", "Insert"); l.Best || l.Runs != 0 || l.Note != "skipped: initdb: not installed" {
		t.Errorf("skipped: %+v", l)
	}
	if l := find("kill", "nats-always", "publish, double ack"); l.Factor != 25 {
		t.Errorf("gap of 500 ms against 20 ms: %+v", l)
	}
}

func TestTableAndChart(t *testing.T) {
	f := &File{Rounds: 2, Summary: Summarize(results())}
	var table strings.Builder
	if err := Table(&table, f.Summary); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3.75 ×", "skipped: initdb: not installed", "25.00 ×"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
	dec := xml.NewDecoder(strings.NewReader(f.chart()))
	for {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the chart is no XML: %v", err)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := number(v, 0); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
	if got := number(1234.567, 2); got != "1,234.57" {
		t.Errorf("got %s", got)
	}
}
