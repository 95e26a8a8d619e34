package client

import (
	"fmt"
	"unicode/utf8"
)

// The masters check every field. Checked here is only what cannot reach them:
// strings that are not UTF-8 (protobuf refuses them as INTERNAL, which would
// leave open whether the call took effect), and options that exclude each other.

func field(name, format string, args ...any) Field {
	return Field{Name: name, Description: fmt.Sprintf(format, args...)}
}

// check returns what is wrong with t; prefix stands before the fields' names.
func (t *Task) check(prefix string) []Field {
	var bad []Field
	if t.Delay != 0 && !t.RunAt.IsZero() {
		bad = append(bad, field(prefix+"run_at", "got both delay and run_at, want one"))
	}
	bad = append(bad, checkItems(prefix+"on_success", t.OnSuccess)...)
	bad = append(bad, checkItems(prefix+"on_dead", t.OnDead)...)
	bad = append(bad, t.Broadcast.check(prefix)...)
	for key, value := range t.Require {
		bad = checkText(bad, prefix+"require", key, prefix+"require", value)
	}
	for key, value := range t.Labels {
		bad = checkText(bad, prefix+"labels", key, prefix+"labels", value)
	}
	if utf8.ValidString(t.Queue) && utf8.ValidString(t.Kind) && utf8.ValidString(t.ContentType) && utf8.ValidString(t.RequestID) &&
		utf8.ValidString(t.ConcurrencyKey) && utf8.ValidString(t.UniqueKey) && utf8.ValidString(t.Traceparent) && utf8.ValidString(t.Tracestate) {
		return bad
	}
	return checkText(bad, prefix+"queue", t.Queue, prefix+"kind", t.Kind, prefix+"content_type", t.ContentType, prefix+"request_id", t.RequestID,
		prefix+"concurrency_key", t.ConcurrencyKey, prefix+"unique_key", t.UniqueKey,
		prefix+"traceparent", t.Traceparent, prefix+"tracestate", t.Tracestate)
}

// checkItems checks the tasks of a list.
func checkItems(name string, tasks []Task) []Field {
	var bad []Field
	for i := range tasks {
		if tasks[i].check("") != nil {
			bad = append(bad, tasks[i].check(fmt.Sprintf("%s[%d].", name, i))...)
		}
	}
	return bad
}

func (t *Task) checkItem(i int) []Field {
	if bad := t.check(""); bad == nil {
		return nil
	}
	return t.check(fmt.Sprintf("tasks[%d].", i))
}

// checkText appends to bad each named string that is not UTF-8.
func checkText(bad []Field, namesAndValues ...string) []Field {
	for i := 0; i < len(namesAndValues); i += 2 {
		if !utf8.ValidString(namesAndValues[i+1]) {
			bad = append(bad, field(namesAndValues[i], "got %.64q, want UTF-8", namesAndValues[i+1]))
		}
	}
	return bad
}
