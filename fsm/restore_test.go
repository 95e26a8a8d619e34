package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"testing"
	"testing/iotest"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

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
		"session": sessionKind, "batch": batchKind, "chunk": chunkKind, "release": releaseKind, "task": taskKind, "request": requestKind, "client": clientKind,
		"schedule": scheduleKind, "sweep": sweepKind, "push": pushKind,
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
		l := newLoader()
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
		commitCmd(m.lastBatch, 3, 0), cancelBatchCmd(m.lastBatch, ""), retryDeadCmd(&fsmpb.RetryDead{}), tickCmd(), cancelCmd("", m.lastTask), tickCmd(),
	} {
		now += Hour
		m.Apply(index+uint64(i)+1, term, &Entry{Header: Header{Level: 1, Term: term, Now: now}, Commands: []*fsmpb.Command{c}})
	}
	check(t, m)
}
