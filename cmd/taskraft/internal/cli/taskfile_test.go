package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskraft/taskraft/client"
)

func TestReadTasks(t *testing.T) {
	five, low := 5, int32(-7)
	full := client.Task{
		Queue: "mail", Kind: "send", Payload: []byte(`{"to":"a"}`), ContentType: jsonType, Priority: &low,
		Delay: 90 * time.Second, Timeout: time.Minute, MaxAttempts: five, BackoffBase: 2 * time.Second, BackoffMax: time.Hour,
		RequestID: "r", ExpiresIn: time.Hour, Retain: 48 * time.Hour,
	}
	const line = `{"queue":"mail","kind":"send","payload":{"to":"a"},"priority":-7,"delay":"1m30s","timeout":"60s","max_attempts":5,` +
		`"backoff":{"base":"2s","max":"1h"},"request_id":"r","expires_in":"1h","retain":"48h"}`
	plain := client.Task{Queue: "a", Payload: []byte("hi")}
	base := client.Task{Queue: "base", Timeout: time.Second}
	tests := []struct {
		name, text string
		base       client.Task
		want       []client.Task
		err        string
	}{
		{name: "one line", text: line, want: []client.Task{full}},
		{name: "lines", text: "{\"queue\":\"a\",\"payload\":\"aGk=\"}\n\n" + line + "\n", want: []client.Task{plain, full}},
		{name: "indented", text: "\n{\n  \"queue\": \"a\",\n  \"payload\": \"aGk=\"\n}\n", want: []client.Task{plain}},
		{name: "array", text: `[{"queue":"a","payload":"aGk="},` + line + `]`, want: []client.Task{plain, full}},
		{name: "empty array", text: "[]"},
		{name: "yaml", text: "queue: a\npayload: aGk=\n---\nqueue: b\n", want: []client.Task{plain, {Queue: "b"}}},
		{name: "program", text: `{"argv":["echo","a b"]}`, want: []client.Task{{Kind: "command", Payload: []byte(`{"argv":["echo","a b"]}`), ContentType: jsonType}}},
		{name: "base", text: `{"kind":"k"}` + "\n" + `{"queue":"q","timeout":"2s"}`, base: base, want: []client.Task{{Queue: "base", Kind: "k", Timeout: time.Second}, {Queue: "q", Timeout: 2 * time.Second}}},
		{
			name: "relations", text: `{"after":["7",8],"after_items":[1],"after_policy":"AFTER_RUN","on_success":[{"queue":"a","payload":"aGk="}],"on_dead":[{"kind":"k"}]}`,
			want: []client.Task{{After: []uint64{7, 8}, AfterItems: []uint32{1}, AfterRun: true, OnSuccess: []client.Task{plain}, OnDead: []client.Task{{Kind: "k"}}}},
		},
		{name: "byte order mark", text: "\ufeff{\"queue\":\"a\",\"payload\":\"aGk=\"}", want: []client.Task{plain}},
		{name: "nothing", text: " \n", err: "there is no task"},
		{name: "unknown key", text: `{"qeue":"a"}`, err: `unknown key "qeue" (did you mean queue?)`},
		{name: "bad duration", text: `{"timeout":"soon"}`, err: `timeout: cannot be "soon", want a duration`},
		{name: "bad payload", text: `{"payload":"not base64!"}`, err: "want base64 (bm90IGJhc2U2NCE=) or a JSON object"},
		{name: "bad time", text: `{"run_at":"tomorrow"}`, err: "run_at: cannot be"},
		{name: "cut", text: `{"queue":"a"`, err: "ends inside a task"},
		{name: "cut array", text: `[{"queue":"a"}`, want: []client.Task{{Queue: "a"}}, err: "ends inside the array"},
		{name: "after the array", text: `[] x`, err: "text after the end"},
		{name: "no object", text: `{"queue":"a"} 7`, want: []client.Task{{Queue: "a"}}, err: "not a JSON object"},
		{name: "argv and payload", text: `{"argv":["a"],"payload":"aGk="}`, err: "argv: given together with payload"},
		{name: "argv of numbers", text: `{"argv":[1]}`, err: "want a list of strings"},
		{name: "broken yaml", text: "queue: [a", err: "yaml"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []client.Task
			var failed error
			for task, err := range readTasks(strings.NewReader(tt.text), tt.base) {
				if err != nil {
					failed = err
					continue
				}
				got = append(got, task)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("tasks (-want +got):\n%s", diff)
			}
			if (failed == nil) != (tt.err == "") || failed != nil && !strings.Contains(failed.Error(), tt.err) {
				t.Errorf("error %v, want %q", failed, tt.err)
			}
		})
	}
}

func FuzzReadTasks(f *testing.F) {
	for _, s := range []string{`{"queue":"a"}`, `[{"argv":["a"]}]`, "queue: a\n---\nb: c", `{"backoff":{"base":"1s"}}`} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		for range readTasks(strings.NewReader(text), client.Task{}) {
		}
	})
}
