package cluster

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/events"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

func digestOf(t *testing.T, m *fsm.Machine) [32]byte {
	t.Helper()
	h := sha256.New()
	if _, err := m.Snapshot().WriteTo(h); err != nil {
		t.Fatal(err)
	}
	return [32]byte(h.Sum(nil))
}

// logAt returns what Raft would hand to the table for one entry.
func logAt(t *testing.T, n *Node, index uint64) []*raft.Log {
	t.Helper()
	l := new(raft.Log)
	if err := n.store.GetLog(index, l); err != nil {
		t.Fatal(err)
	}
	if l.Type != raft.LogCommand && l.Type != raft.LogConfiguration {
		return nil
	}
	return []*raft.Log{l}
}

func wantFault(t *testing.T, err error, kind FaultKind) {
	t.Helper()
	if f, ok := errors.AsType[*Fault](err); !ok || f.Kind != kind {
		t.Errorf("got %v, want a fault of kind %d", err, kind)
	}
}

// memoryRing returns a ring of events that needs no closing.
func memoryRing() *events.Ring {
	return events.Open(events.Config{MemoryEvents: 1000, MemoryBytes: 1 << 20, Logger: discard})
}

// testApplier returns an applier of an empty table and what it reports.
func testApplier() (a *applier, applied *[]*fsm.Applied, faults *[]*Fault) {
	applied, faults = new([]*fsm.Applied), new([]*Fault)
	return &applier{
		table: &table{m: fsm.New()}, log: discard, renewed: func() {}, news: func() {},
		applied: func(x *fsm.Applied) { *applied = append(*applied, x) },
		record:  recorder{ring: memoryRing()},
		fatal:   func(f *Fault) { *faults = append(*faults, f) },
	}, applied, faults
}

func entryLog(t *testing.T, index, term uint64, e fsm.Entry) *raft.Log {
	t.Helper()
	e.Level = 1
	b, err := fsm.EncodeEntry(nil, &e)
	if err != nil {
		t.Fatal(err)
	}
	return &raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: b}
}

func TestApplyBatch(t *testing.T) {
	a, applied, faults := testApplier()
	out := a.ApplyBatch([]*raft.Log{
		{Index: 1, Term: 1, Type: raft.LogConfiguration},
		entryLog(t, 2, 2, fsm.Entry{Header: fsm.Header{Term: 2, Now: 5}, Commands: []*fsmpb.Command{oneTask("a")}}),
		entryLog(t, 4, 3, fsm.Entry{Header: fsm.Header{Term: 2, Now: 6}, Commands: []*fsmpb.Command{oneTask("b")}}),
	})
	if len(*faults) > 0 {
		t.Fatal(*faults)
	}
	if _, ok := out[0].(unseen); !ok {
		t.Errorf("a configuration entry was answered with %v", out[0])
	}
	if x := out[1].(*fsm.Applied); len(x.Results) != 1 || x.Results[0].Outcome != fsm.Accepted || x.NotLeader {
		t.Errorf("the first entry: %+v", x)
	}
	if x := out[2].(*fsm.Applied); !x.NotLeader {
		t.Errorf("an entry of another term took effect: %+v", x)
	}
	if x := *applied; len(x) != 3 || x[0].Index != 1 || len(x[0].Results) != 0 {
		t.Errorf("%d entries were reported, want all 3: readers wait for any index", len(x))
	}
	if a.index.Load() != 4 || a.term.Load() != 3 {
		t.Errorf("applied up to %d in term %d, want 4 and 3", a.index.Load(), a.term.Load())
	}
}

func TestApplyStopsBeforeWhatItCannotRead(t *testing.T) {
	newer := func(t *testing.T) []byte {
		b := entryLog(t, 3, 2, fsm.Entry{Header: fsm.Header{Term: 2, Now: 6}}).Data
		binary.BigEndian.PutUint16(b[1:], fsm.Level+1)
		return b
	}
	tests := []struct {
		name string
		data func(t *testing.T) []byte
		kind FaultKind
	}{
		{"newer", newer, FaultIdentity},
		{"corrupt", func(*testing.T) []byte { return []byte{1} }, FaultDisk},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, applied, faults := testApplier()
			good := entryLog(t, 2, 2, fsm.Entry{Header: fsm.Header{Term: 2, Now: 5}})
			later := entryLog(t, 4, 2, fsm.Entry{Header: fsm.Header{Term: 2, Now: 7}})
			bad := &raft.Log{Index: 3, Term: 2, Type: raft.LogCommand, Data: tt.data(t)}
			out := a.ApplyBatch([]*raft.Log{good, bad, later})
			out = append(out, a.ApplyBatch([]*raft.Log{later})...)
			if len(*applied) != 1 || a.index.Load() != 2 {
				t.Errorf("%d entries applied up to %d, want 1 up to 2", len(*applied), a.index.Load())
			}
			for _, o := range out[1:] {
				if _, ok := o.(unseen); !ok {
					t.Errorf("an entry after the stop was answered with %v", o)
				}
			}
			if len(*faults) != 1 || (*faults)[0].Kind != tt.kind {
				t.Errorf("faults %v, want one of kind %d", *faults, tt.kind)
			}
			if _, err := a.Snapshot(); err == nil {
				t.Error("a stopped table gave a snapshot")
			}
		})
	}
}

func TestRestoreKeepsTheOldTableOnErrors(t *testing.T) {
	a, _, faults := testApplier()
	a.ApplyBatch([]*raft.Log{entryLog(t, 2, 2, fsm.Entry{Header: fsm.Header{Term: 2, Now: 5}, Commands: []*fsmpb.Command{oneTask("a")}})})
	before := a.table.m
	var good bytes.Buffer
	if err := (frozen{s: before.Snapshot()}).write(&good); err != nil {
		t.Fatal(err)
	}
	cut := good.Bytes()[:good.Len()-5]
	flipped := bytes.Clone(good.Bytes())
	flipped[len(flipped)/2] ^= 1
	for name, b := range map[string][]byte{"empty": nil, "cut": cut, "flipped": flipped, "text": []byte("hello")} {
		if err := a.Restore(io.NopCloser(bytes.NewReader(b))); err == nil {
			t.Errorf("%s: restored", name)
		}
	}
	if a.table.m != before || len(*faults) > 0 {
		t.Errorf("a refused snapshot changed the table, or ended the node: %v", *faults)
	}
	if err := a.Restore(io.NopCloser(bytes.NewReader(good.Bytes()))); err != nil {
		t.Fatal(err)
	}
	if digestOf(t, a.table.m) != digestOf(t, before) {
		t.Error("the restored table differs")
	}
	a.oldest = 3
	if err := a.Restore(io.NopCloser(bytes.NewReader(good.Bytes()))); err == nil {
		t.Error("a snapshot before the log was taken")
	}
}
