package settings

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestValues(t *testing.T) {
	var d time.Duration
	var n int
	var size int64
	var text string
	var on bool
	var at time.Time
	var pairs map[string]string
	tests := []struct {
		name  string
		value Value
		texts []string
		ok    bool
		want  string // String afterwards
	}{
		{"duration", Duration(&d, time.Second, time.Hour), []string{"1m30s"}, true, "1m30s"},
		{"whole hour", Duration(&d, time.Second, time.Hour), []string{"60m"}, true, "1h"},
		{"too short", Duration(&d, time.Second, time.Hour), []string{"999ms"}, false, ""},
		{"zero without unit", Duration(&d, 0, time.Hour), []string{"0"}, false, ""},
		{"number", Int(&n, -5, 5, nil), []string{"-5"}, true, "-5"},
		{"number out of range", Int(&n, -5, 5, nil), []string{"6"}, false, ""},
		{"number with blank", Int(&n, -5, 5, nil), []string{" 1"}, false, ""},
		{"size", Size(&size, 0, 1<<30), []string{"64KiB"}, true, "64KiB"},
		{"size in bytes", Size(&size, 0, 1<<30), []string{"1000"}, true, "1000"},
		{"size in kB", Size(&size, 0, 1<<30), []string{"1kB"}, true, "1000"},
		{"size past 64 bits", Size(&size, 0, 1<<30), []string{"99999999999999TiB"}, false, ""},
		{"size with sign", Size(&size, 0, 1<<30), []string{"+1"}, false, ""},
		{"unit alone", Size(&size, 0, 1<<30), []string{"MiB"}, false, ""},
		{"word", Text(&text, OneOf("a", "b")), []string{"b"}, true, "b"},
		{"unknown word", Text(&text, OneOf("a", "b")), []string{"c"}, false, ""},
		{"switch", Switch(&on), []string{"true"}, true, "true"},
		{"switch as word", Switch(&on), []string{"yes"}, false, ""},
		{"time", Time(&at), []string{"2026-01-31T09:00:00Z"}, true, "2026-01-31T09:00:00Z"},
		{"time without zone", Time(&at), []string{"2026-01-31T09:00:00"}, false, ""},
		{"pairs", Pairs(&pairs, 2), []string{"b=2", "a=1=1"}, true, "a=1=1,b=2"},
		{"too many pairs", Pairs(&pairs, 1), []string{"b=2", "a=1"}, false, ""},
		{"pair without value", Pairs(&pairs, 2), []string{"a"}, false, ""},
		{"key twice", Pairs(&pairs, 2), []string{"a=1", "a=2"}, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.value.Set(tt.texts)
			if (err == nil) != tt.ok {
				t.Fatalf("Set(%q) = %v", tt.texts, err)
			}
			if err != nil {
				if _, ok := errors.AsType[*Invalid](err); !ok {
					t.Errorf("the error is no *Invalid: %v", err)
				}
				return
			}
			if got := tt.value.String(); got != tt.want {
				t.Errorf("String() = %q, want %q", got, tt.want)
			}
			if err := tt.value.Set([]string{tt.value.String()}); err != nil && tt.name != "pairs" {
				t.Errorf("its own text is refused: %v", err)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	for addr, want := range map[string][2]bool{ // listen, dial
		"127.0.0.1:7400": {true, true},
		"[::1]:7400":     {true, true},
		"n1.example:1":   {true, true},
		":7400":          {true, false},
		"0.0.0.0:7400":   {true, false},
		"[::]:7400":      {true, false},
		"127.0.0.1:0":    {true, false},
		"127.0.0.1":      {false, false},
		"a b:1":          {false, false},
		"h:65536":        {false, false},
		"h:+1":           {false, false},
		"h:http":         {false, false},
	} {
		if got := Listen(addr) == nil; got != want[0] {
			t.Errorf("Listen(%q): accepted %v, want %v", addr, got, want[0])
		}
		if got := Dial(addr) == nil; got != want[1] {
			t.Errorf("Dial(%q): accepted %v, want %v", addr, got, want[1])
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"data-dir", "peers", "raft-addr", "grpc-addr", "name"}
	for given, want := range map[string]string{
		"dta-dir": "data-dir", "datadir": "data-dir", "peer": "peers", "nmae": "name", "grpc-adr": "grpc-addr",
		"zzz": "", "": "", "something-else": "",
	} {
		if got := Nearest(given, slices.Values(known)); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", given, got, want)
		}
	}
}

func TestListsFromEverywhere(t *testing.T) {
	var list []string
	all := Table{{Flag: "masters", Env: "TASKRAFT_MASTERS", Path: "masters", Arg: "HOST:PORT", List: true, Value: List(&list, Dial)}}
	for text, want := range map[string][]string{
		"masters: [a:1, 'b:2']":    {"a:1", "b:2"},
		"masters: a:1, b:2":        {"a:1", "b:2"},
		"masters:\n- a:1\n- b:2\n": {"a:1", "b:2"},
	} {
		f, bad := parseFile("f", []byte(text), all)
		if len(bad) > 0 {
			t.Fatalf("%s: %v", text, bad)
		}
		if diff := cmp.Diff(want, f.values["masters"].texts); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte("masters: [a:1]\nlog: {level: info}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("? [a]\n: b\n"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		var list []string
		var text string
		all := Table{
			{Flag: "masters", Env: "M", Path: "masters", List: true, Value: List(&list, Dial)},
			{Flag: "level", Env: "L", Path: "log.level", Value: Text(&text, nil)},
		}
		parseFile("f", data, all)
	})
}
