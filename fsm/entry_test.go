package fsm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// everyCommand is one command of each kind with every field set, by the name of
// its golden file.
func everyCommand() map[string]*fsmpb.Command {
	queues := []*fsmpb.QueueWeight{{Queue: "mail", Weight: 2}, {Queue: "news", Weight: 1}}
	labels := map[string]string{"zone": "b", "arch": "amd64", "gpu": ""}
	plain := []*fsmpb.TaskSpec{{Queue: "mail"}}
	full := []*fsmpb.TaskSpec{{
		Queue: "mail", Kind: "send", Payload: []byte("hello"), ContentType: "text/plain", Priority: proto.Int32(-5),
		RunAt: epochStart, Delay: Second, Timeout: proto.Int64(Minute), MaxAttempts: proto.Uint32(5),
		BackoffBase: proto.Int64(Second), BackoffMax: proto.Int64(Hour), ExpiresIn: Hour,
		RequestId: "order-17", ContentDigest: 0x0102030405060708, Retain: proto.Int64(Hour),
		After: []uint64{3, 4}, AfterItems: []uint32{1, 0}, AfterRun: true, OnSuccess: plain, OnDead: plain,
		Require: []*fsmpb.Label{{Key: "gpu", Value: "a100"}}, ConcurrencyKey: "tenant-7",
		UniqueKey: "report", UniqueUntilStart: true, Labels: []*fsmpb.Label{{Key: "tenant", Value: "7"}},
		Broadcast:   &fsmpb.BroadcastSpec{Selector: []*fsmpb.Label{{Key: "role", Value: "web"}}, Require: 2, Patience: Hour, Late: true},
		Traceparent: []byte{0xab, 0xcd}, Tracestate: "vendor=1",
	}}
	batch := &fsmpb.BatchSpec{Name: "nightly", RequestId: "b-1", ContentDigest: 9, FollowUp: full, OnSuccess: full}
	all := map[string]*fsmpb.Command{
		"submit":   submitBatchCmd(batch, full[0], &fsmpb.TaskSpec{}),
		"assign":   assignCmd(3, 16),
		"complete": completeCmd("w01/b1", &fsmpb.Completion{Task: 5, Fence: 9, Digest: 1 << 60, Result: []byte("ok"), ContentType: "text/plain", FollowUp: full}),
		"fail": failCmd("w01/b1", &fsmpb.Failure{
			Task: 5, Fence: 9, Digest: 77, Error: "no such host", Permanent: true, RetryAfter: Second, Snooze: true,
			Result: []byte("log"), ContentType: "text/plain",
		}),
		"release": releaseCmd("w01/b1", &fsmpb.Handback{Task: 5, Fence: 9}, &fsmpb.Handback{Task: 6, Fence: 10}),
		"cancel":  cancelCmd("by hand", 5, 6, 7),
		"retry":   retryCmd(5, 6),
		"delete":  deleteCmd(5, 6),
		"sweep": sweepCmd(&fsmpb.Sweep{Reason: "unwanted", What: &fsmpb.TaskFilter{
			States: []uint32{1, 2}, Queue: "mail", Kind: "send", Labels: []*fsmpb.Label{{Key: "tenant", Value: "7"}}, Batch: 3, Worker: "w01",
			Group: 77, Since: epochStart, Until: epochStart + Hour, First: 5, Last: 9000,
		}}),
		"open_session": openCmd(&fsmpb.OpenSession{
			Worker: "w01", Boot: "b1", Queues: queues, Labels: labels, Slots: 8, Ttl: 10 * Second, Held: []uint64{9, 10},
			Takeover: true, Pull: true, Host: "h1", Pid: 4711, Version: "v1.0.0", Push: "127.0.0.1:7500",
		}),
		"update_session": updateCmd(&fsmpb.UpdateSession{
			Session: 3, Queues: queues, Labels: labels, Slots: 4, Draining: true, PollSeq: 12, PollMax: 2, Beats: true,
			PollHeld: &fsmpb.PollHeld{Fences: []uint64{9, 10}},
		}),
		"close_session":  closeCmd(3),
		"expire_session": expireCmd(3),
		"tick":           spareCmd(epochStart),
		"set_queue": queueCmd(&fsmpb.SetQueue{Queue: "mail", Paused: new(false), Settings: &fsmpb.QueueSettings{
			Priority: proto.Int32(1), Timeout: proto.Int64(Second), MaxAttempts: proto.Uint32(2), BackoffBase: proto.Int64(3),
			BackoffMax: proto.Int64(4), Retain: proto.Int64(5), RetainCount: proto.Uint64(6), RetainBytes: proto.Uint64(7),
			MaxRunning: proto.Uint32(8), MaxRunningPerKey: proto.Uint32(9), Ageing: proto.Int64(Minute),
			MaxTasks: proto.Uint64(12), MaxBytes: proto.Uint64(13), SelfFence: new(true),
			Rate: &fsmpb.RateLimit{Tokens: 10, Period: Second, Burst: 11},
		}, Unset: []uint32{1, 12}}),
		"set_member": memberCmd(&fsmpb.SetMember{
			Name: "n1", ServerId: "n1/2f", Raft: "127.0.0.1:7401", Grpc: "127.0.0.1:7400", Http: "127.0.0.1:7402", Level: 1,
		}),
		"remove_member": removeMemberCmd("n1", "n1/2f"),
		"finalize":      finalizeCmd(2),
		"open_batch":    openBatchCmd(batch),
		"stage_batch":   stageCmd(&fsmpb.StageBatch{Batch: 3, Offset: 1000, Digest: 77, Tasks: full}),
		"commit_batch":  commitCmd(3, 10_000, 78),
		"cancel_batch":  cancelBatchCmd(3, "by hand"),
		"retry_dead":    retryDeadCmd(&fsmpb.RetryDead{Queue: "mail", Kind: new("send"), Group: 5}),
		"set_schedule": scheduleCmd(&fsmpb.SetSchedule{
			Schedule: "nightly", Cron: "0 3 * * *", TimeZone: "Europe/Berlin", Misfire: uint32(MisfireAll), MaxMisfires: 3,
			Overlap: uint32(OverlapSkip), Replace: true, Paused: true, Task: full[0],
		}),
		"pause_schedule":   pauseScheduleCmd("nightly", true),
		"delete_schedule":  deleteScheduleCmd("nightly"),
		"trigger_schedule": triggerCmd("nightly"),
		"fire": fireCmd(&fsmpb.FireItem{
			Schedule: "nightly", SpecVersion: 2, FireTime: epochStart, NextFire: epochStart + Hour, Skip: true,
		}),
		"drain_worker":  drainCmd("w01", true),
		"remove_worker": removeCmd("w01", true),
		"set_push":      pushCmd(&fsmpb.SetPush{Addr: "127.0.0.1:7500", Remove: true, Fixed: true}),
	}
	for _, c := range all {
		c.Principal = "client:0011223344556677"
		c.Call = &fsmpb.Call{Client: []byte("0123456789abcdef"), Seq: 7, AckedBelow: 5, Repeat: true}
	}
	return all
}

func goldenEntry(c *fsmpb.Command) *Entry {
	return &Entry{Header: Header{Level: 1, Term: 7, Now: epochStart}, Commands: []*fsmpb.Command{c}}
}

// TestEntryGolden keeps the encoding of every command: what is in a log today
// must be read the same for ever (C5). A new kind brings a new file; a changed
// file is a broken promise.
func TestEntryGolden(t *testing.T) {
	kinds := (&fsmpb.Command{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	all := everyCommand()
	if len(all) != kinds.Len() {
		t.Errorf("%d commands for %d kinds", len(all), kinds.Len())
	}
	for i := range kinds.Len() {
		name := string(kinds.Get(i).Name())
		t.Run(name, func(t *testing.T) {
			c := all[name]
			if c == nil {
				t.Fatal("no command of this kind")
			}
			everyFieldSet(t, c.ProtoReflect(), map[protoreflect.FullName]bool{})
			b, err := EncodeEntry(nil, goldenEntry(c))
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "golden", name+".hex")
			if *update {
				if err := os.WriteFile(file, []byte(hex.Dump(b)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(string(golden), hex.Dump(b)); diff != "" {
				t.Errorf("the encoding changed (-golden +now):\n%s", diff)
			}
			e, err := DecodeEntry(b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(goldenEntry(c), e, protocmp.Transform()); diff != "" {
				t.Errorf("decoded differently (-in +out):\n%s", diff)
			}
		})
	}
}

// everyFieldSet fails when a command leaves a field empty: its golden bytes
// would not show it. Of each kind of message the first one counts.
func everyFieldSet(t *testing.T, m protoreflect.Message, seen map[protoreflect.FullName]bool) {
	t.Helper()
	if seen[m.Descriptor().FullName()] {
		return
	}
	seen[m.Descriptor().FullName()] = true
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.ContainingOneof() != nil && !f.HasOptionalKeyword() {
			continue
		}
		if !m.Has(f) {
			t.Errorf("%s is not set", f.FullName())
		}
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList() && f.Message() != nil:
			everyFieldSet(t, v.List().Get(0).Message(), seen)
		case f.Message() != nil && !f.IsMap() && !f.IsList():
			everyFieldSet(t, v.Message(), seen)
		}
		return true
	})
}

// TestDecodeRefuses holds what must stop a master rather than be half understood (D07).
func TestDecodeRefuses(t *testing.T) {
	good, err := EncodeEntry(nil, goldenEntry(tickCmd()))
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(b []byte) []byte) []byte { return change(bytes.Clone(good)) }
	body := func(raw ...byte) []byte { return append(bytes.Clone(good[:headerSize]), raw...) }
	cases := []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, ErrCorrupt},
		{"format 0", with(func(b []byte) []byte { b[0] = 0; return b }), ErrCorrupt},
		{"format 2", with(func(b []byte) []byte { b[0] = 2; return b }), ErrNewer},
		{"format 2, one byte", []byte{2}, ErrNewer},
		{"short header", good[:headerSize-1], ErrCorrupt},
		{"level 0", with(func(b []byte) []byte { b[2] = 0; return b }), ErrCorrupt},
		{"level 2", with(func(b []byte) []byte { b[2] = 2; return b }), ErrNewer},
		{"no now", with(func(b []byte) []byte { clear(b[11:headerSize]); return b }), ErrCorrupt},
		{"now before 1970", with(func(b []byte) []byte { b[11] = 0x80; return b }), ErrCorrupt},
		{"cut body", good[:len(good)-1], ErrCorrupt},
		{"not protobuf", body(0xff, 0xff, 0xff), ErrCorrupt},
		{"unknown field of the body", body(0x78, 1), ErrNewer},
		{"no kind", body(0x0a, 0), ErrCorrupt},
		{"unknown kind", body(0x0a, 3, 0xa2, 0x06, 0), ErrNewer},
		{"unknown setting", body(0x0a, 6, 0xe2, 0x01, 3, 0x22, 1, 99), ErrNewer},
		{"invalid UTF-8", body(0x0a, 3, 0x0a, 1, 0xff), ErrCorrupt},
		{"too long", append(bytes.Clone(good), make([]byte, MaxEntry)...), ErrCorrupt},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if e, err := DecodeEntry(c.b); !errors.Is(err, c.want) || e != nil {
				t.Errorf("got %v, %v, want %v", e, err, c.want)
			}
		})
	}
}

// TestDecodeRefusesUnknownFields puts an unknown field into every message of
// every command, one after the other.
func TestDecodeRefusesUnknownFields(t *testing.T) {
	for name, c := range everyCommand() {
		n := 0
		eachMessage(c.ProtoReflect(), func(m protoreflect.Message) {
			n++
			m.SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 2000, protowire.VarintType), 1))
			b, err := EncodeEntry(nil, goldenEntry(c))
			m.SetUnknown(nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := DecodeEntry(b); !errors.Is(err, ErrNewer) {
				t.Errorf("%s with an unknown field in %s: %v", name, m.Descriptor().FullName(), err)
			}
		})
		if n < 3 { // the command, its call, its kind
			t.Errorf("%s has %d messages", name, n)
		}
	}
}

// eachMessage calls f for m and every message inside it.
func eachMessage(m protoreflect.Message, f func(protoreflect.Message)) {
	f(m)
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil || fd.IsMap():
		case fd.IsList():
			for i := range v.List().Len() {
				eachMessage(v.List().Get(i).Message(), f)
			}
		default:
			eachMessage(v.Message(), f)
		}
		return true
	})
}

func TestEncodeRefuses(t *testing.T) {
	for name, e := range map[string]*Entry{
		"no kind":     {Header: Header{Level: 1}, Commands: []*fsmpb.Command{{}}},
		"nil command": {Header: Header{Level: 1}, Commands: []*fsmpb.Command{nil}},
		"too long":    goldenEntry(submitCmd(&fsmpb.TaskSpec{Payload: make([]byte, MaxEntry)})),
		"not UTF-8":   goldenEntry(cancelCmd("\xff")),
	} {
		if b, err := EncodeEntry(nil, e); err == nil {
			t.Errorf("%s: encoded as %d bytes", name, len(b))
		}
	}
}

// TestEncodeAppends checks that dst is kept.
func TestEncodeAppends(t *testing.T) {
	b, err := EncodeEntry([]byte("head"), goldenEntry(tickCmd()))
	if err != nil || !strings.HasPrefix(string(b), "head\x01\x00\x01") {
		t.Errorf("got %q, %v", b, err)
	}
}

// TestNotLeader: an entry of another term is a no-op that only moves the position.
func TestNotLeader(t *testing.T) {
	w := newTable(t)
	w.do(submitCmd(&fsmpb.TaskSpec{}))
	e := &Entry{Header: Header{Level: 1, Term: 1, Now: w.now + Hour}, Commands: []*fsmpb.Command{submitCmd(&fsmpb.TaskSpec{})}}
	a := w.m.Apply(2, 2, e)
	index, term, now := w.m.Position()
	tasks, _, _ := w.m.Counts()
	if got := fmt.Sprint(a.NotLeader, len(a.Results), len(a.Events), index, term, now-w.now, tasks); got != "true 0 0 2 2 0 1" {
		t.Errorf("got %s", got)
	}
}
