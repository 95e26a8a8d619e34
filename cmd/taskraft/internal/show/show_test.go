package show

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

func queues(format Format) (string, error) {
	var out strings.Builder
	type Q = *taskraftv1.Queue
	l := NewList(&Printer{Out: &out, Format: format}, "queues", Q.GetName, []Column[Q]{
		{Head: "NAME", Cell: Q.GetName},
		{Head: "READY", Right: true, Cell: func(q Q) string { return strings.Repeat("9", int(q.GetReady())) }},
		{Head: "PAUSED", Wide: true, Cell: func(Q) string { return "no" }},
	})
	for _, q := range []Q{{Name: "a", Ready: 3}, {Name: "b\x1b[31m\n" + strings.Repeat("x", 80), Ready: 1}} {
		if err := l.Add(q); err != nil {
			return "", err
		}
	}
	err := l.Close()
	return out.String(), err
}

func TestFormats(t *testing.T) {
	long := `b\x1b[31m ` + strings.Repeat("x", 80)
	short := long[:59] + "…"
	want := map[Format]string{
		Tabular: "NAME" + strings.Repeat(" ", 56) + "  READY\na" + strings.Repeat(" ", 59) + "    999\n" + short + "      9\n",
		Wide:    "NAME" + strings.Repeat(" ", 86) + "  READY  PAUSED\na" + strings.Repeat(" ", 89) + "    999  no\n" + long + "      9  no\n",
		Name:    "a\nb\x1b[31m\n" + strings.Repeat("x", 80) + "\n",
	}
	for format, want := range want {
		got, err := queues(format)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", format, diff)
		}
	}
}

// TestStructuredFormats: every form is well-formed and has the API's keys.
func TestStructuredFormats(t *testing.T) {
	type list struct {
		Queues []struct {
			Name  string `json:"name" yaml:"name"`
			Ready string `json:"ready" yaml:"ready"` // 64-bit numbers are strings in the API's JSON
			Total string `json:"submitted_total" yaml:"submitted_total"`
		} `json:"queues" yaml:"queues"`
	}
	for format, decode := range map[Format]func([]byte, any) error{JSON: json.Unmarshal, YAML: yaml.Unmarshal} {
		text, err := queues(format)
		if err != nil {
			t.Fatal(err)
		}
		var got list
		if err := decode([]byte(text), &got); err != nil {
			t.Fatalf("%s: %v\n%s", format, err, text)
		}
		if len(got.Queues) != 2 || got.Queues[0].Ready != "3" || got.Queues[1].Total != "0" {
			t.Errorf("%s: got %+v from\n%s", format, got, text)
		}
	}
	text, err := queues(JSONL)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(strings.TrimSpace(text), "\n"); len(lines) != 2 || !json.Valid([]byte(lines[0])) {
		t.Errorf("jsonl: %q", lines)
	}
}

func TestEmptyLists(t *testing.T) {
	for format, want := range map[Format]string{
		Tabular: "", Name: "", JSONL: "", JSON: "{\n  \"queues\": []\n}\n", YAML: "queues: []\n",
	} {
		var out strings.Builder
		l := NewList[int](&Printer{Out: &out, Format: format}, "queues", nil, nil)
		if err := l.Close(); err != nil || out.String() != want {
			t.Errorf("%s: %q, %v; want %q", format, out.String(), err, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "-", 250 * time.Microsecond: "250µs", 1500 * time.Microsecond: "1.5ms", 12 * time.Second: "12s",
		90 * time.Second: "1m30s", 25 * time.Hour: "25h00m", 50 * time.Hour: "2d02h", -time.Second: "-1s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%d) = %q, want %q", d, got, want)
		}
	}
}
