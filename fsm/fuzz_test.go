package fsm

import (
	"bytes"
	"errors"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
)

// FuzzDecodeEntry: any bytes give an entry or one of the two errors, and an
// entry that was read is written and read again as the same.
func FuzzDecodeEntry(f *testing.F) {
	for _, c := range everyCommand() {
		b, err := EncodeEntry(nil, goldenEntry(c))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEntry(b)
		if err != nil {
			if e != nil || !errors.Is(err, ErrNewer) && !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%v, %v", e, err)
			}
			return
		}
		again, err := EncodeEntry(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		e2, err := DecodeEntry(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(e, e2, protocmp.Transform()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzApply: whatever was decoded is carried out without a panic, and the same
// on two machines (C4). The bytes are cut into entries by their first two.
func FuzzApply(f *testing.F) {
	var log []byte
	for _, name := range []string{"open_session", "submit", "assign", "complete", "fail", "expire_session", "tick", "retry", "set_queue"} {
		b, err := EncodeEntry(nil, goldenEntry(everyCommand()[name]))
		if err != nil {
			f.Fatal(err)
		}
		log = append(append(log, byte(len(b)>>8), byte(len(b))), b...)
	}
	f.Add(log)
	f.Fuzz(func(t *testing.T, b []byte) {
		one, other := New(), New()
		for index := uint64(1); len(b) > 2; index++ {
			n := min(int(b[0])<<8|int(b[1]), len(b)-2)
			entry := b[2 : 2+n]
			b = b[2+n:]
			e, err := DecodeEntry(entry)
			if err != nil {
				continue
			}
			e2, _ := DecodeEntry(entry)
			sameApplied(t, one.Apply(index, e.Term, e), other.Apply(index, e.Term, e2))
		}
		if !bytes.Equal(snapshotBytes(t, one), snapshotBytes(t, other)) {
			t.Fatal("two machines write different snapshots")
		}
		check(t, one)
	})
}
