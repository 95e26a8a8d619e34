package fsm

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// unhashed are fields that follow from hashed ones: the session, or the ended fence,
// says whose they were. What stands behind pointers is hashed through them.
var unhashed = map[string]bool{
	"Options": true, "Attempt": true, "Extra": true, "Ended": true,
	"Attempt.Worker": true, "Attempt.Boot": true,
	"Ended.Worker": true, "Ended.Boot": true, "Ended.Error": true, "Ended.StartedAt": true,
	"Extra.Broadcast": true, "Extra.Target": true,
	"Extra.Require": true, // as pool
	"Extra.Trace":   true, // decides nothing
	// What a broadcast was asked for decides its counters.
	"Broadcast.Selector": true, "Broadcast.Require": true, "Broadcast.Patience": true, "Broadcast.Late": true,
}

// TestHashSeesEveryField changes each field of a record: the hash must change (C1).
func TestHashSeesEveryField(t *testing.T) {
	record := func() *Task {
		return &Task{
			ID: 7, State: Running, Options: &Options{}, Attempt: &Attempt{Fence: 3}, Result: []byte("r"),
			Extra: &Extra{Batch: 5, Broadcast: &Broadcast{Until: 1}, Target: &Target{Broadcast: 1}}, Ended: []Ended{{Fence: 2}},
		}
	}
	base := record().hash()
	each := func(prefix string, of func(*Task) any) {
		v := reflect.TypeOf(of(record())).Elem()
		for i := range v.NumField() {
			name := v.Field(i).Name
			if unhashed[prefix+name] || !v.Field(i).IsExported() {
				continue
			}
			task := record()
			switch f := reflect.ValueOf(of(task)).Elem().Field(i); f.Kind() {
			case reflect.String:
				f.SetString("x")
			case reflect.Slice:
				if v.Field(i).Type == reflect.TypeFor[[]byte]() {
					f.SetBytes([]byte("12345678 9"))
				} else {
					f.Set(reflect.MakeSlice(v.Field(i).Type, 1, 1))
				}
			case reflect.Bool:
				f.SetBool(true)
			case reflect.Int32, reflect.Int64:
				f.SetInt(77)
			case reflect.Uint8, reflect.Uint32, reflect.Uint64:
				f.SetUint(77)
			default:
				t.Fatalf("field %s%s of kind %s: hash it, or say why not", prefix, name, f.Kind())
			}
			if task.hash() == base {
				t.Errorf("another %s%s has the same hash", prefix, name)
			}
		}
	}
	each("", func(t *Task) any { return t })
	each("Options.", func(t *Task) any { return t.Options })
	each("Attempt.", func(t *Task) any { return t.Attempt })
	each("Ended.", func(t *Task) any { return &t.Ended[0] })
	each("Extra.", func(t *Task) any { return t.Extra })
	each("Broadcast.", func(t *Task) any { return t.Extra.Broadcast })
	each("Target.", func(t *Task) any { return t.Extra.Target })
}

// TestHashOfBytes: neither lengths nor the bytes behind the last whole word are lost.
func TestHashOfBytes(t *testing.T) {
	seen := map[hash]int{}
	for n := range 40 {
		h := hash(0).bytes(make([]byte, n))
		if at, ok := seen[h]; ok {
			t.Errorf("%d and %d zero bytes have the same hash", at, n)
		}
		seen[h] = n
		for i := range n {
			b := make([]byte, n)
			b[i] = 1
			if hash(0).bytes(b) == h {
				t.Errorf("byte %d of %d does not count", i, n)
			}
		}
	}
}

// TestHashChains: one other decision shows in every later hash, though the tables
// are equal again.
func TestHashChains(t *testing.T) {
	run := func(missed bool) *Machine {
		w := newTable(t)
		w.apply(submitCmd(&fsmpb.TaskSpec{Queue: "a"}))
		if missed {
			w.apply(cancelCmd("", 9))
		} else {
			w.apply(cancelCmd("", 9, 9))
		}
		w.apply(tickCmd())
		return w.m
	}
	first, again, other := run(true), run(true), run(false)
	if first.Hash() != again.Hash() {
		t.Error("the same log gave two hashes")
	}
	if first.Hash() == other.Hash() {
		t.Error("another outcome left no trace")
	}
}

// TestRestoreCountsTheHash: a snapshot whose blocks are whole, but one of whose tasks
// is not as it was, is refused (C3).
func TestRestoreCountsTheHash(t *testing.T) {
	w := newTable(t)
	w.apply(submitCmd(&fsmpb.TaskSpec{Payload: []byte("as it was")}))
	s := w.m.Snapshot()
	changed := *w.task(1)
	changed.Payload = []byte("AS IT WAS")
	s.tasks.Set(1, &changed)
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(&b); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "hash") {
		t.Errorf("restored: %v", err)
	}
}
