package cli

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// readTasks reads tasks one by one: JSON values one after the other, one JSON
// array of them, or YAML documents. What a task leaves open it takes from base.
// It ends after the first error.
func readTasks(in io.Reader, base client.Task) iter.Seq2[client.Task, error] {
	return func(yield func(client.Task, error) bool) {
		r := bufio.NewReaderSize(in, 64<<10)
		next := nextYAML(r)
		switch first, err := firstRune(r); {
		case errors.Is(err, io.EOF):
			yield(client.Task{}, errors.New("there is no task"))
			return
		case err != nil:
			yield(client.Task{}, err)
			return
		case first == '{' || first == '[':
			next = nextJSON(r, first == '[')
		}
		for {
			data, err := next()
			if errors.Is(err, io.EOF) {
				return
			}
			var t client.Task
			if err == nil {
				t, err = decodeTask(data, base)
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}

// firstRune skips white space and a byte order mark and peeks at what follows.
func firstRune(r *bufio.Reader) (rune, error) {
	for {
		c, _, err := r.ReadRune()
		if err != nil {
			return 0, err
		}
		if !unicode.IsSpace(c) && c != '\ufeff' {
			return c, r.UnreadRune()
		}
	}
}

// nextJSON returns the values of a stream, or the elements of one array.
func nextJSON(r io.Reader, array bool) func() ([]byte, error) {
	dec := json.NewDecoder(r)
	opened := false
	return func() ([]byte, error) {
		if array && !opened {
			opened = true
			if _, err := dec.Token(); err != nil {
				return nil, err
			}
		}
		if array && !dec.More() {
			if _, err := dec.Token(); err != nil {
				return nil, errors.New("the text ends inside the array")
			}
			if dec.More() {
				return nil, errors.New("text after the end of the array")
			}
			return nil, io.EOF
		}
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("the text ends inside a task")
		}
		return raw, err
	}
}

func nextYAML(r io.Reader) func() ([]byte, error) {
	dec := yaml.NewDecoder(r)
	return func() ([]byte, error) {
		var doc map[string]any
		if err := dec.Decode(&doc); err != nil {
			return nil, err
		}
		return json.Marshal(doc)
	}
}

// durationKeys may be written as Go durations; the API's JSON knows seconds only.
var durationKeys = []string{"delay", "timeout", "expires_in", "retain"}

// decodeTask turns a JSON object with the API's keys into a task.
func decodeTask(data []byte, base client.Task) (client.Task, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		return base, errors.New("not a JSON object")
	}
	t := base
	if argv, ok := keys["argv"]; ok {
		if err := decodeProgram(keys, argv, &t); err != nil {
			return t, err
		}
	}
	if p := bytes.TrimSpace(keys["payload"]); len(p) > 0 && p[0] != '"' {
		t.Payload, t.ContentType = bytes.Clone(p), jsonType
		delete(keys, "payload")
	}
	for _, key := range durationKeys {
		rewriteDuration(keys, key)
	}
	if err := rewriteUntil(keys); err != nil {
		return t, err
	}
	if err := rewriteBackoff(keys); err != nil {
		return t, err
	}
	if err := rewriteBroadcast(keys); err != nil {
		return t, err
	}
	plain, err := json.Marshal(keys)
	if err != nil {
		return t, fmt.Errorf("encode again: %w", err)
	}
	spec := new(taskraftv1.TaskSpec)
	if err := protojson.Unmarshal(plain, spec); err != nil {
		return t, explainKeys(keys, err)
	}
	return overlay(t, spec, keys), nil
}

func decodeProgram(keys map[string]json.RawMessage, argv json.RawMessage, t *client.Task) error {
	var words []string
	if err := json.Unmarshal(argv, &words); err != nil || len(words) == 0 {
		return errors.New("argv: want a list of strings")
	}
	for _, other := range []string{"payload", "kind"} {
		if _, both := keys[other]; both {
			return fmt.Errorf("argv: given together with %s, want one of them", other)
		}
	}
	delete(keys, "argv")
	return setProgram(t, words)
}

// rewriteDuration turns "5m" into "300s".
func rewriteDuration(keys map[string]json.RawMessage, key string) {
	var text string
	if json.Unmarshal(keys[key], &text) != nil {
		return
	}
	if d, err := time.ParseDuration(text); err == nil {
		keys[key] = json.RawMessage(strconv.Quote(strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"))
	}
}

// rewriteUntil turns "start" into the API's word.
func rewriteUntil(keys map[string]json.RawMessage) error {
	const key = "unique_until"
	raw, ok := keys[key]
	if !ok {
		return nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		switch text {
		case "start", "terminal":
			keys[key] = json.RawMessage(strconv.Quote("UNIQUE_UNTIL_" + strings.ToUpper(text)))
		}
	}
	if _, keyed := keys["unique_key"]; !keyed {
		return errors.New("unique_until: given without unique_key")
	}
	return nil
}

func rewriteBackoff(keys map[string]json.RawMessage) error {
	raw, ok := keys["backoff"]
	if !ok {
		return nil
	}
	var pair map[string]json.RawMessage
	if err := json.Unmarshal(raw, &pair); err != nil {
		return errors.New(`backoff: want {"base": "1s", "max": "10m"}`)
	}
	rewriteDuration(pair, "base")
	rewriteDuration(pair, "max")
	plain, err := json.Marshal(pair)
	keys["backoff"] = plain
	return err
}

// rewriteBroadcast lets the deadline be a Go duration and require a word.
func rewriteBroadcast(keys map[string]json.RawMessage) error {
	raw, ok := keys["broadcast"]
	if !ok {
		return nil
	}
	var b map[string]json.RawMessage
	if err := json.Unmarshal(raw, &b); err != nil {
		return errors.New(`broadcast: want {"selector": {"role": "web"}, "require": "all", "deadline": "1m"}`)
	}
	rewriteDuration(b, "deadline")
	var word string
	if json.Unmarshal(b["require"], &word) == nil && word != "" {
		var n requireValue
		if err := n.Set([]string{word}); err != nil {
			return fmt.Errorf("broadcast.require: %w", err)
		}
		b["require"] = json.RawMessage(strconv.Itoa(n.n))
	}
	plain, err := json.Marshal(b)
	keys["broadcast"] = plain
	return err
}

// specKeys are the keys of a task in a file.
var specKeys = func() []string {
	names := []string{"argv"}
	fields := new(taskraftv1.TaskSpec).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		names = append(names, string(fields.Get(i).Name()))
	}
	return names
}()

// explainKeys names the unknown keys rather than quoting the decoder.
func explainKeys(keys map[string]json.RawMessage, err error) error {
	for _, key := range sortedKeys(keys) {
		if slices.Contains(specKeys, key) {
			continue
		}
		if near := settings.Nearest(key, slices.Values(specKeys)); near != "" {
			return fmt.Errorf("unknown key %q (did you mean %s?)", key, near)
		}
		return fmt.Errorf("unknown key %q", key)
	}
	for key, raw := range keys {
		one, _ := json.Marshal(map[string]json.RawMessage{key: raw})
		if protojson.Unmarshal(one, new(taskraftv1.TaskSpec)) != nil {
			return fmt.Errorf("%s: cannot be %s%s", key, raw, keyHint(key, raw))
		}
	}
	return fmt.Errorf("not a task: %w", err)
}

func keyHint(key string, raw json.RawMessage) string {
	switch {
	case slices.Contains(durationKeys, key):
		return `, want a duration like "90s" or "5m"`
	case key == "unique_until":
		return `, want "start" or "terminal"`
	case key == "run_at":
		return `, want a time like "2026-01-31T09:00:00Z"`
	case key == "payload":
		var text string
		if json.Unmarshal(raw, &text) == nil {
			return ", want base64 (" + base64.StdEncoding.EncodeToString([]byte(text)) + ") or a JSON object"
		}
	}
	return ""
}

// overlay puts what the spec says on top of t.
func overlay(t client.Task, spec *taskraftv1.TaskSpec, keys map[string]json.RawMessage) client.Task {
	t.Queue = orOld(spec.GetQueue(), t.Queue)
	t.Kind = orOld(spec.GetKind(), t.Kind)
	t.ContentType = orOld(spec.GetContentType(), t.ContentType)
	t.RequestID = orOld(spec.GetRequestId(), t.RequestID)
	t.ConcurrencyKey = orOld(spec.GetConcurrencyKey(), t.ConcurrencyKey)
	t.Traceparent, t.Tracestate = spec.GetTraceparent(), spec.GetTracestate()
	if spec.GetUniqueKey() != "" {
		t.UniqueKey, t.UniqueUntilStart = spec.GetUniqueKey(), spec.GetUniqueUntil() == taskraftv1.UniqueUntil_UNIQUE_UNTIL_START
	}
	if len(spec.GetRequire()) > 0 {
		t.Require = spec.GetRequire()
	}
	if len(spec.GetLabels()) > 0 {
		t.Labels = spec.GetLabels()
	}
	t.Timeout = orOld(spec.GetTimeout().AsDuration(), t.Timeout)
	t.ExpiresIn = orOld(spec.GetExpiresIn().AsDuration(), t.ExpiresIn)
	t.Retain = orOld(spec.GetRetain().AsDuration(), t.Retain)
	if _, given := keys["payload"]; given {
		t.Payload = spec.GetPayload()
	}
	if spec.Priority != nil {
		t.Priority = spec.Priority
	}
	if spec.MaxAttempts != nil {
		t.MaxAttempts = int(spec.GetMaxAttempts())
	}
	if b := spec.GetBackoff(); b != nil {
		t.BackoffBase, t.BackoffMax = b.GetBase().AsDuration(), b.GetMax().AsDuration()
	}
	if len(spec.GetAfter()) > 0 {
		t.After = spec.GetAfter()
	}
	t.AfterItems = spec.GetAfterItems()
	if _, given := keys["after_policy"]; given {
		t.AfterRun = spec.GetAfterPolicy() == taskraftv1.AfterPolicy_AFTER_RUN
	}
	t.OnSuccess, t.OnDead = followUps(spec.GetOnSuccess()), followUps(spec.GetOnDead())
	if b := spec.GetBroadcast(); b != nil {
		t.Broadcast = &client.Broadcast{
			Selector: b.GetSelector(), Require: int(b.GetRequire()), Deadline: b.GetDeadline().AsDuration(), LateJoiners: b.GetLateJoiners(),
		}
	}
	switch start := spec.GetStart().(type) {
	case *taskraftv1.TaskSpec_Delay:
		t.Delay, t.RunAt = start.Delay.AsDuration(), time.Time{}
	case *taskraftv1.TaskSpec_RunAt:
		t.Delay, t.RunAt = 0, start.RunAt.AsTime()
	}
	return t
}

// followUps turns the tasks of a key like on_success into the SDK's.
func followUps(specs []*taskraftv1.TaskSpec) (out []client.Task) {
	given := map[string]json.RawMessage{"payload": nil, "after_policy": nil}
	for _, spec := range specs {
		out = append(out, overlay(client.Task{}, spec, given))
	}
	return out
}
