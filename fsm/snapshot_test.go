package fsm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// fullTable holds at least one record of every kind and a task in every state.
func fullTable(tb reporter) *table {
	w := newTable(tb)
	w.do(memberCmd(&fsmpb.SetMember{Name: "n1", ServerId: "n1/1", Raft: "a:1", Grpc: "a:2", Level: 1}))
	w.do(memberCmd(&fsmpb.SetMember{Name: "n2", Level: 1}))
	w.do(queueCmd(&fsmpb.SetQueue{Queue: "mail", Paused: proto.Bool(true), Defaults: &fsmpb.QueueDefaults{Priority: proto.Int32(2)}}))
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w1", Boot: "a", Slots: 8, Labels: map[string]string{"x": "1", "y": "2", "z": "3"}}))
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w1", Boot: "b", Slots: 8, Takeover: true, Labels: map[string]string{"x": "1", "y": "2", "z": "3"}}))
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w2", Boot: "a", Slots: 2}))
	spec := &fsmpb.TaskSpec{Kind: "k", Payload: []byte("payload"), ContentType: "text/plain", Timeout: proto.Int64(Second)}
	for range 9 {
		w.do(submitCmd(spec))
	}
	w.do(&fsmpb.Command{
		Call: &fsmpb.Call{Client: []byte("0123456789abcdef"), Seq: 1, AckedBelow: 1},
		Kind: submitCmd(&fsmpb.TaskSpec{RequestId: "r", Delay: Hour, Queue: "mail"}, &fsmpb.TaskSpec{RequestId: "r2"}).Kind,
	})
	w.do(assignCmd(3, 1)) // task 1 is lost with w2
	w.do(expireCmd(3))
	w.do(assignCmd(2, 8)) // and given to w1, with 2 to 8
	w.do(completeCmd("w2", &fsmpb.Completion{Task: 1, Fence: 1, Result: []byte("late")}))
	w.do(completeCmd("w1/b", &fsmpb.Completion{Task: 2, Fence: 3, Digest: 5, Result: []byte("two"), ContentType: "text/plain"}))
	w.do(failCmd("w1/b", &fsmpb.Failure{Task: 3, Fence: 4, Error: "no", Permanent: true}))
	w.do(cancelCmd("x", 4, 9))
	w.now += Second
	w.do(tickCmd())
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w2", Boot: "a", Slots: 1}))
	w.do(submitCmd(spec))
	w.do(assignCmd(4, 1))
	w.do(expireCmd(4)) // task 12 may be redeemed
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w3", Boot: "a", Slots: 1}))
	w.do(submitCmd(&fsmpb.TaskSpec{Priority: proto.Int32(9)}))
	w.do(assignCmd(5, 1))
	return w
}

// TestSnapshotGolden keeps the format of a snapshot and that its bytes are a
// function of the table: the labels of a session are a Go map.
func TestSnapshotGolden(t *testing.T) {
	w := fullTable(t)
	check(t, w.m)
	got := hex.Dump(snapshotBytes(t, w.m))
	file := filepath.Join("testdata", "golden", "snapshot.hex")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(golden), got); diff != "" {
		t.Errorf("the snapshot changed (-golden +now):\n%s", diff)
	}
	for range 20 {
		if hex.Dump(snapshotBytes(t, fullTable(t).m)) != got {
			t.Fatal("the same log wrote another snapshot")
		}
	}
}

// TestSnapshotIsFrozen writes a snapshot while later entries apply; run it with -race.
func TestSnapshotIsFrozen(t *testing.T) {
	w := fullTable(t)
	want := snapshotBytes(t, w.m)
	for range 20 {
		s := w.m.Snapshot()
		index, term := s.Position()
		done := make(chan []byte)
		go func() {
			var b bytes.Buffer
			if _, err := s.WriteTo(&b); err != nil {
				t.Error(err)
			}
			done <- b.Bytes()
		}()
		for range 10 {
			w.now += Second
			w.do(submitCmd(&fsmpb.TaskSpec{Payload: []byte("x")}, &fsmpb.TaskSpec{RequestId: "r3"}))
			w.do(assignCmd(5, 1))
			w.do(&fsmpb.Command{
				Call: &fsmpb.Call{Client: []byte("0123456789abcdef"), Seq: w.index, AckedBelow: w.index - 1},
				Kind: cancelCmd("", w.m.lastTask).Kind,
			})
			w.do(openCmd(&fsmpb.OpenSession{Worker: "w1", Boot: "b", Slots: uint32(w.index%5) + 1}))
			w.do(queueCmd(&fsmpb.SetQueue{Queue: "mail", Paused: proto.Bool(w.index%2 == 0)}))
			w.do(tickCmd())
		}
		got := <-done
		if !bytes.Equal(got, want) {
			t.Fatal("a snapshot changed after it was taken")
		}
		if i, tm := s.Position(); i != index || tm != term {
			t.Fatalf("its position moved from %d/%d to %d/%d", index, term, i, tm)
		}
		want = snapshotBytes(t, w.m)
	}
	check(t, w.m)
}

// TestRestoreRefuses flips every bit pattern that matters and cuts at every length.
func TestRestoreRefuses(t *testing.T) {
	good := snapshotBytes(t, fullTable(t).m)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		if m, err := Restore(bytes.NewReader(bad)); m != nil || !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
	}
	for i := range good {
		if m, err := Restore(bytes.NewReader(good[:i])); m != nil || !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	newer := bytes.Clone(good)
	newer[9]++
	if _, err := Restore(bytes.NewReader(newer)); !errors.Is(err, ErrNewer) {
		t.Errorf("version 2: %v", err)
	}
	if _, err := Restore(bytes.NewReader(append(bytes.Clone(good), 0))); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a byte after the end: %v", err)
	}
	broken := errors.New("disk gone")
	if _, err := Restore(io.MultiReader(bytes.NewReader(good[:99]), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("reader's error: %v", err)
	}
	if m, err := Restore(iotest.OneByteReader(bytes.NewReader(good))); err != nil || !bytes.Equal(snapshotBytes(t, m), good) {
		t.Errorf("one byte at a time: %v", err)
	}
	huge := append(bytes.Clone(good[:10]), 0x3f, 0xff, 0xff, 0xff, 0, 0, 0, 0)
	if _, err := Restore(bytes.NewReader(huge)); !errors.Is(err, ErrCorrupt) { // and no gigabyte allocated
		t.Errorf("claimed length: %v", err)
	}
}

// recordsOf cuts a snapshot of one block into its records.
func recordsOf(tb reporter, b []byte) []*fsmpb.Record {
	tb.Helper()
	n := binary.BigEndian.Uint32(b[10:])
	var records []*fsmpb.Record
	for body := b[18 : 18+n]; len(body) > 0; {
		raw, k := protowire.ConsumeBytes(body)
		if k < 0 {
			tb.Fatal("a record is cut")
		}
		body = body[k:]
		r := new(fsmpb.Record)
		if err := proto.Unmarshal(raw, r); err != nil {
			tb.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

// snapshotOf is the inverse of recordsOf, with right checksums and counts.
func snapshotOf(tb reporter, records []*fsmpb.Record) []byte {
	tb.Helper()
	var body []byte
	kinds := map[protoreflect.Name]recordKind{
		"meta": metaKind, "member": memberKind, "queue": queueKind, "worker": workerKind,
		"session": sessionKind, "task": taskKind, "request": requestKind, "client": clientKind,
	}
	counts := make([]byte, 8*recordKinds)
	for _, r := range records {
		raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
		if err != nil {
			tb.Fatal(err)
		}
		body = protowire.AppendBytes(body, raw)
		if f := r.ProtoReflect().WhichOneof(r.ProtoReflect().Descriptor().Oneofs().Get(0)); f != nil {
			counts[8*kinds[f.Name()]+7]++
		}
	}
	b := append([]byte(snapshotMagic), 0, snapshotVersion)
	for _, p := range [][]byte{body, counts} {
		n := uint32(len(p))
		if &p[0] == &counts[0] {
			n = 0
		}
		b = binary.BigEndian.AppendUint32(b, n)
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(p, castagnoli))
		b = append(b, p...)
	}
	return b
}

// TestRestoreChecksRecords gives right checksums to wrong records.
func TestRestoreChecksRecords(t *testing.T) {
	good := snapshotBytes(t, fullTable(t).m)
	if !bytes.Equal(snapshotOf(t, recordsOf(t, good)), good) {
		t.Fatal("the test does not write what the table writes")
	}
	held := func(r *fsmpb.TaskRecord) bool { return r.Session != 0 }
	task := func(change func(*fsmpb.TaskRecord), when func(*fsmpb.TaskRecord) bool) func([]*fsmpb.Record) []*fsmpb.Record {
		return func(rs []*fsmpb.Record) []*fsmpb.Record {
			for _, r := range rs {
				if k := r.GetTask(); k != nil && when(k) {
					change(k)
					return rs
				}
			}
			t.Fatal("no such task")
			return nil
		}
	}
	last := uint64(0)
	for _, r := range recordsOf(t, good) {
		last = max(last, r.GetTask().GetFence())
	}
	any1 := func(*fsmpb.TaskRecord) bool { return true }
	cases := []struct {
		name   string
		change func([]*fsmpb.Record) []*fsmpb.Record
		want   error
	}{
		{"no meta", func(rs []*fsmpb.Record) []*fsmpb.Record { return rs[1:] }, ErrCorrupt},
		{"two metas", func(rs []*fsmpb.Record) []*fsmpb.Record { return append(rs[:1:1], rs...) }, ErrCorrupt},
		{"out of order", func(rs []*fsmpb.Record) []*fsmpb.Record { rs[1], rs[2] = rs[2], rs[1]; return rs }, ErrCorrupt},
		{"kinds out of order", func(rs []*fsmpb.Record) []*fsmpb.Record { return append(rs, rs[1]) }, ErrCorrupt},
		{"empty record", func(rs []*fsmpb.Record) []*fsmpb.Record { return append(rs, &fsmpb.Record{}) }, ErrCorrupt},
		{"newer level", func(rs []*fsmpb.Record) []*fsmpb.Record { rs[0].GetMeta().Level = Level + 1; return rs }, ErrNewer},
		{"newer state", task(func(r *fsmpb.TaskRecord) { r.State = 99 }, any1), ErrNewer},
		{"newer cause", task(func(r *fsmpb.TaskRecord) { r.Ended[0].Cause = 99 }, func(r *fsmpb.TaskRecord) bool { return len(r.Ended) > 0 }), ErrNewer},
		{"no state", task(func(r *fsmpb.TaskRecord) { r.State = 0 }, any1), ErrCorrupt},
		{"no such queue", task(func(r *fsmpb.TaskRecord) { r.Queue = "nowhere" }, any1), ErrCorrupt},
		{"id never given", task(func(r *fsmpb.TaskRecord) { r.Id = 1 << 40 }, any1), ErrCorrupt},
		{"no such session", task(func(r *fsmpb.TaskRecord) { r.Session = 99 }, held), ErrCorrupt},
		{"fence twice", task(func(r *fsmpb.TaskRecord) { r.Fence = last }, held), ErrCorrupt},
		{"fence never given", task(func(r *fsmpb.TaskRecord) { r.Fence = 1 << 40 }, held), ErrCorrupt},
		{"another worker's session", task(func(r *fsmpb.TaskRecord) { r.Worker = "w9" }, held), ErrCorrupt},
		{"redeemable without its fence", task(func(r *fsmpb.TaskRecord) { r.Ended = nil }, func(r *fsmpb.TaskRecord) bool { return r.Redeemable }), ErrCorrupt},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := snapshotOf(t, c.change(recordsOf(t, good)))
			if m, err := Restore(bytes.NewReader(b)); m != nil || !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	for i, r := range recordsOf(t, good) {
		eachMessage(r.ProtoReflect(), func(m protoreflect.Message) {
			rs := recordsOf(t, good)
			rs[i] = r
			m.SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 2000, protowire.VarintType), 1))
			b := snapshotOf(t, rs)
			m.SetUnknown(nil)
			if _, err := Restore(bytes.NewReader(b)); !errors.Is(err, ErrNewer) {
				t.Errorf("unknown field in %s: %v", m.Descriptor().FullName(), err)
			}
		})
	}
}

// TestSnapshotWriteFails passes the writer's error on.
func TestSnapshotWriteFails(t *testing.T) {
	s := fullTable(t).m.Snapshot()
	for n := range int64(600) {
		if _, err := s.WriteTo(&shortWriter{left: n}); !errors.Is(err, errFull) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

var errFull = errors.New("full")

// shortWriter takes so many bytes.
type shortWriter struct{ left int64 }

func (w *shortWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		return int(w.left), errFull
	}
	w.left -= int64(len(p))
	return len(p), nil
}

// FuzzRestore: any bytes give a table or an error, never a panic, and a table
// that was read writes a snapshot that reads as itself and goes on working.
func FuzzRestore(f *testing.F) {
	f.Add(snapshotBytes(f, New()))
	f.Add(snapshotBytes(f, fullTable(f).m))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Restore(bytes.NewReader(b))
		if err != nil {
			if m != nil || !errors.Is(err, ErrNewer) && !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%v, %v", m, err)
			}
			return
		}
		exercise(t, m)
	})
}

// FuzzRestoreRecords does the same behind the checksums: the bytes are the block.
func FuzzRestoreRecords(f *testing.F) {
	good := snapshotBytes(f, fullTable(f).m)
	n := binary.BigEndian.Uint32(good[10:])
	f.Add(good[18 : 18+n])
	f.Fuzz(func(t *testing.T, block []byte) {
		l := &loader{m: New(), last: -1}
		if err := l.block(block); err != nil {
			return
		}
		var counts []byte
		for _, n := range l.counts {
			counts = binary.BigEndian.AppendUint64(counts, n)
		}
		if err := l.end(counts, bytes.NewReader(nil)); err != nil {
			return
		}
		exercise(t, l.m)
	})
}

// exercise uses a restored table: it must hold together whatever was in the file.
func exercise(t *testing.T, m *Machine) {
	check(t, m)
	index, term, now := m.Position()
	if index > 1<<62 || now > 1<<60 {
		return
	}
	for i, c := range []*fsmpb.Command{
		tickCmd(), openCmd(&fsmpb.OpenSession{Worker: "w1", Boot: "z", Takeover: true, Slots: 9}), assignCmd(m.lastSession, 9),
		completeCmd("w2", &fsmpb.Completion{Task: 1, Fence: 1}), retryCmd(1, 2, 3), cancelCmd("", 1, 2, 3, 4), expireCmd(1), tickCmd(),
	} {
		now += Hour
		m.Apply(index+uint64(i)+1, term, &Entry{Header: Header{Level: 1, Term: term, Now: now}, Commands: []*fsmpb.Command{c}})
	}
	check(t, m)
}
