package logstore

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/taskraft/taskraft/cluster/datadir"
)

// flip changes one bit of every place in the file that holds text.
func flip(t testing.TB, path, text string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	flipped := 0
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], []byte(text))
		if i < 0 {
			break
		}
		at += i
		if _, err := f.WriteAt([]byte{b[at] ^ 0x10}, int64(at)); err != nil {
			t.Fatal(err)
		}
		flipped++
	}
	if flipped == 0 {
		t.Fatalf("%q is not in the file", text)
	}
}

// damaged returns the configuration of a closed store with 3,000 entries and a
// vote, of which entry 2,000 holds marker.
const marker = "<the entry that will be damaged>"

func damaged(t testing.TB) Config {
	t.Helper()
	s := owned(t, Config{Kind: Bolt})
	fill(t, s, 1, 1999, 100)
	if err := s.StoreLog(&raft.Log{Index: 2000, Term: 2, Data: []byte(marker)}); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 2001, 3000, 100)
	vote(t, s, 5, "n1/aa")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return s.cfg
}

// TestBadInput are the rows of the bad-input table about the log store's file.
func TestBadInput(t *testing.T) {
	resize := func(by func(size int64) int64) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, by(info.Size())); err != nil {
				t.Fatal(err)
			}
		}
	}
	overwrite := func(content func() []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, content(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	poke := func(at int64, b ...byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(b, at); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	random := func() []byte {
		b := make([]byte, 1<<20)
		rng := rand.NewChaCha8([32]byte{1})
		rng.Read(b)
		return b
	}
	for _, row := range []struct {
		name  string
		spoil func(*testing.T, string)
		kind  datadir.Kind
		parts []string
	}{
		{"B05/deleted", func(t *testing.T, path string) { os.Remove(path) }, datadir.Disk, []string{"data lost", "c1/n1/x", "--rejoin"}},
		{"B07/0 bytes", resize(func(int64) int64 { return 0 }), datadir.Disk, []string{"0 bytes", "--rejoin"}},
		{"B07/one byte", resize(func(int64) int64 { return 1 }), datadir.Disk, []string{"truncated"}},
		{"B07/half", resize(func(size int64) int64 { return 50 * 4096 }), datadir.Disk, []string{"truncated: 204800 bytes", "--rejoin"}},
		{"B07/one byte less", resize(func(size int64) int64 { return size - 1 }), datadir.Disk, []string{"truncated"}},
		{"B07/random", overwrite(random), datadir.Disk, []string{"no bolt meta page", "--rejoin"}},
		{"B07/zeros", overwrite(func() []byte { return make([]byte, 1<<20) }), datadir.Disk, []string{"no bolt meta page"}},
		{"B07/text", overwrite(func() []byte { return []byte("hello") }), datadir.Disk, []string{"truncated"}},
		{"B07/older bolt version", poke(20, 1), datadir.Disk, []string{"bolt file version 1 is not supported (want 2)"}},
		{"B07/second meta page lost", poke(4096, make([]byte, 4096)...), datadir.Disk, []string{"no bolt meta page at byte 4096"}},
		{"B07/directory", func(t *testing.T, path string) {
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
				t.Fatal(err)
			}
		}, datadir.Disk, []string{"not a file"}},
		{"B07/free list of another program", saveFreelist, datadir.Disk, []string{"written by another program"}},
		{"B07/a bucket too many", inBolt(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("more")); return err }), datadir.Disk, []string{`unexpected bucket "more"`}},
		{"B07/a bucket too few", inBolt(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("conf")) }), datadir.Disk, []string{"1 buckets"}},
		{"B08/entry", func(t *testing.T, path string) { flip(t, path, marker) }, datadir.Disk, []string{"entry 2000 checksum mismatch (stored ", ", computed ", "--rejoin"}},
		{"B08/vote", func(t *testing.T, path string) { flip(t, path, "n1/aa") }, datadir.Disk, []string{`"LastVote" checksum mismatch`}},
		{"B08/hole", inBolt(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("logs")).Delete(key(1234)) }), datadir.Disk, []string{"entry 1234 is missing, after 1233 comes 1235"}},
		{"B08/entry under another index", inBolt(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("logs"))
			return b.Put(key(3001), bytes.Clone(b.Get(key(3000))))
		}), datadir.Disk, []string{"entry 3001 says it is entry 3000"}},
		{"B08/garbage for an entry", inBolt(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("logs")).Put(key(3001), []byte("\xdf\xff\xff\xff\xff garbage"))
		}), datadir.Disk, []string{"entry 3001"}},
		{"B08/entry without checksum", inBolt(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("logs")).Put(key(3001), []byte("\x81\xa5Index\xcd\x0b\xb9"))
		}), datadir.Disk, []string{"entry 3001: no checksum"}},
		{"B11/another owner", inBolt(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("conf")).Put(keyOwner, sealValue(keyOwner, []byte("c2/n2/y")))
		}), datadir.Identity, []string{"c1/n1/x", "c2/n2/y", "not from one directory"}},
		{"B11/no owner", inBolt(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("conf")).Delete(keyOwner) }), datadir.Identity, []string{"c1/n1/x"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := damaged(t)
			row.spoil(t, cfg.Path)
			s, err := Open(cfg)
			if err == nil {
				s.Close()
			}
			wantError(t, err, row.kind, append(row.parts, cfg.Path)...)
		})
	}
}

func key(index uint64) []byte { return []byte{0, 0, 0, 0, 0, 0, byte(index >> 8), byte(index)} }

// inBolt changes a file behind the store's back.
func inBolt(f func(tx *bbolt.Tx) error) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true, Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Update(f), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// saveFreelist opens the file as other programs do.
func saveFreelist(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRandomDamage flips bits all over the part of the file that is in use. Opening
// must never panic, hang or crash: it refuses with an error, or what it accepts is
// a log without holes whose entries are the ones that were stored.
func TestRandomDamage(t *testing.T) {
	cfg := damaged(t)
	good, err := os.ReadFile(cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := openPages(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	inUse := int(p.limit * p.pageSize)
	good = good[:inUse]
	rng := rand.New(rand.NewPCG(1, 2))
	refused := 0
	const rounds = 100
	for round := range rounds {
		bad := bytes.Clone(good)
		for range 1 + round%3 {
			at := rng.IntN(inUse)
			if round%2 == 0 { // headers decide where bbolt looks
				at = at/4096*4096 + rng.IntN(64)
			}
			bad[at] ^= 1 << rng.IntN(8)
		}
		if err := os.WriteFile(cfg.Path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(cfg)
		if err != nil {
			if _, ok := errors.AsType[*datadir.Error](err); !ok {
				t.Fatalf("round %d: %v is no *datadir.Error", round, err)
			}
			refused++
			continue
		}
		last, _ := s.LastIndex()
		for i := 1 + uint64(round%10); i <= last; i += 10 {
			var l raft.Log
			if err := s.GetLog(i, &l); err != nil {
				t.Fatal(err)
			}
			want := entry(i, 100)
			if i == 2000 {
				want = &raft.Log{Index: 2000, Term: 2, Data: []byte(marker)}
			}
			if string(l.Data) != string(want.Data) || l.Term != want.Term || l.Type != want.Type {
				t.Fatalf("round %d: entry %d is %+v", round, i, l)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d damaged files refused, the others had damage in unused bytes", refused, rounds)
	if refused < rounds/10 {
		t.Error("too few: does the damage hit anything?")
	}
}

// TestDamageWhileRunning: an entry that rots under a running node is neither
// served nor reported to Raft as an error.
func TestDamageWhileRunning(t *testing.T) {
	f := newFatal(t)
	cfg := damaged(t)
	cfg.OnFatal = f.report
	s := mustOpen(t, cfg)
	flip(t, cfg.Path, marker)
	var l raft.Log
	if err := s.GetLog(1999, &l); err != nil {
		t.Fatal(err)
	}
	f.blocks(func() error { return s.GetLog(2000, &l) }, s)
	wantError(t, f.wait(), datadir.Disk, "read entry 2000", "checksum mismatch")
}

// TestFaultWhileRunning: a file that shrinks under a running node (or a disk that
// does not give a page back) is a fault in bbolt's memory map, not the process's end.
func TestFaultWhileRunning(t *testing.T) {
	f := newFatal(t)
	cfg := damaged(t)
	cfg.OnFatal = f.report
	s := mustOpen(t, cfg)
	if err := os.Truncate(cfg.Path, 8192); err != nil {
		t.Fatal(err)
	}
	f.blocks(func() error { return s.GetLog(2000, new(raft.Log)) }, s)
	wantError(t, f.wait(), datadir.Disk, "read entry 2000", "damaged file", "invalid memory address")
}

// FuzzPages: any bytes in the pages of a file never panic the walk.
func FuzzPages(f *testing.F) {
	cfg := damaged(f)
	good, err := os.ReadFile(cfg.Path)
	if err != nil {
		f.Fatal(err)
	}
	p, err := openPages(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		f.Fatal(err)
	}
	good = good[:p.limit*p.pageSize]
	f.Add(uint32(2*4096+8), []byte{2})
	f.Add(uint32(3*4096+12), []byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, at uint32, change []byte) {
		bad := bytes.Clone(good)
		copy(bad[int(at)%len(bad):], change)
		p, err := openPages(bytes.NewReader(bad), int64(len(bad)))
		if err != nil {
			return
		}
		_ = p.walk(p.root, 0, nil, nil, func(_, value []byte, bucket bool) error {
			if !bucket {
				return nil
			}
			return p.bucket(value, func([]byte, []byte, bool) error { return nil })
		})
	})
}
