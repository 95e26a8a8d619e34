package cluster

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/klauspost/compress/zstd"

	"github.com/taskraft/taskraft/cluster/logstore"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

var freeze = flag.Bool("freeze", false, "write data directories into testdata/vN, N being fsm.Level, for later versions to open")

// frozenAddr is the Raft address of every frozen master: it is part of its identity.
const frozenAddr = "127.84.65.83:17401"

// frozenFacts is what a frozen directory's version said of its table.
type frozenFacts struct {
	Index, Hash             uint64
	Tasks, Sessions, Queues int
}

// TestFrozenDirectories opens the data directories that each version has left, with
// either log store: a start finds the table as it was, entry for entry (C5), and works
// on. Those of a released version never change; before the first release, a change of
// format freezes them anew: go test ./cluster -run FrozenDirectories -freeze.
func TestFrozenDirectories(t *testing.T) {
	l, err := net.Listen("tcp", strings.TrimSuffix(frozenAddr, "17401")+"0")
	if err != nil {
		t.Skipf("skipped: this system has no loopback address %s: %v", frozenAddr, err)
	}
	_ = l.Close()
	if *freeze {
		for _, store := range []string{"wal", "bolt"} {
			freezeDirectory(t, store)
		}
	}
	archives, err := filepath.Glob("testdata/v*/*.tar.zst")
	if err != nil || len(archives) < 2 {
		t.Fatalf("%d frozen directories, %v", len(archives), err)
	}
	for _, archive := range archives {
		t.Run(strings.TrimPrefix(archive, "testdata/"), func(t *testing.T) {
			var want frozenFacts
			b, err := os.ReadFile(strings.TrimSuffix(archive, "tar.zst") + "json")
			if err == nil {
				err = json.Unmarshal(b, &want)
			}
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "n1")
			thaw(t, archive, dir)
			openFrozen(t, dir, want)
		})
	}
}

// openFrozen reads a directory as a recovery does, then starts a master from it.
func openFrozen(t *testing.T, dir string, want frozenFacts) {
	t.Helper()
	s, err := OpenSalvage(t.Context(), dir, "test", testLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	got := frozenFacts{Index: s.Info.Index, Hash: s.table.Hash()}
	got.Tasks, got.Sessions, got.Queues = s.Counts()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("the directory holds %+v, want %+v", got, want)
	}
	n := startFrozen(t, dir, "")
	if own := n.applier.hashes.at(want.Index); own.Hash != want.Hash {
		t.Errorf("started with state hash %016x at %d, want %016x", own.Hash, own.Index, want.Hash)
	}
	if res, _, err := n.Propose(t.Context(), oneTask("later")); err != nil || len(res.IDs) != 1 || int(res.IDs[0]) <= want.Tasks {
		t.Errorf("a submit: %+v, %v", res, err)
	}
	n.shutdown(nil)
}

// startFrozen starts the master and waits until it serves. Another run of this test
// may have the address for a while.
func startFrozen(t *testing.T, dir, store string) *Node {
	t.Helper()
	cfg := testConfig(t, []Peer{{Name: "n1", Raft: frozenAddr}}, 0)
	cfg.DataDir, cfg.LogStore = dir, store
	var n *Node
	eventually(t, "the master starts", func() bool {
		var err error
		n, err = Start(t.Context(), cfg)
		if f, ok := errors.AsType[*Fault](err); err != nil && (!ok || f.Kind != FaultBind) {
			t.Fatal(err)
		}
		return err == nil
	})
	t.Cleanup(func() { n.shutdown(nil) })
	eventually(t, "it serves", func() bool { l, _ := n.Leader(); return l.Self })
	return n
}

// thaw unpacks an archive.
func thaw(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, h.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
		if err == nil {
			_, err = io.Copy(out, r)
			err = errors.Join(err, out.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// freezeDirectory has a master live a short, busy life and packs what it leaves: a
// snapshot of its first half, and the log of all of it.
func freezeDirectory(t *testing.T, store string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "n1")
	n := startFrozen(t, dir, store)
	life := &busyLife{t: t, n: n}
	life.first()
	eventually(t, "a snapshot is taken", func() bool { return n.member.Load().raft.Snapshot().Error() == nil })
	life.second()
	n.shutdown(nil)

	s, err := OpenSalvage(t.Context(), dir, "test", testLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	facts := frozenFacts{Index: s.Info.Index, Hash: s.table.Hash()}
	facts.Tasks, facts.Sessions, facts.Queues = s.Counts()
	owner, log := s.dir.Identity().Owner(), s.dir.LogPath()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	everyKind(t, logstore.Config{Path: log, Owner: owner, Logger: testLogger(t)})
	b, _ := json.MarshalIndent(facts, "", "  ")
	to := fmt.Sprintf("testdata/v%d", fsm.Level)
	err = os.MkdirAll(to, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(to, store+".json"), append(b, '\n'), 0o644)
	}
	if err == nil {
		err = pack(dir, filepath.Join(to, store+".tar.zst"))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// everyKind fails unless the log holds every kind of command.
func everyKind(t *testing.T, cfg logstore.Config) {
	t.Helper()
	store, err := logstore.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	kinds := (&fsmpb.Command{}).ProtoReflect().Descriptor().Oneofs().ByName("kind")
	missing := map[string]bool{}
	for i := range kinds.Fields().Len() {
		missing[string(kinds.Fields().Get(i).Name())] = true
	}
	first, _ := store.FirstIndex()
	last, _ := store.LastIndex()
	for i := first; i <= last; i++ {
		var l raft.Log
		if err := store.GetLog(i, &l); err != nil {
			t.Fatal(err)
		}
		if l.Type != raft.LogCommand {
			continue
		}
		e, err := fsm.DecodeEntry(l.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range e.Commands {
			delete(missing, string(c.ProtoReflect().WhichOneof(kinds).Name()))
		}
	}
	if len(missing) > 0 {
		t.Fatalf("the log has no %v", missing)
	}
}

func pack(dir, file string) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	z, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return errors.Join(err, f.Close())
	}
	w := tar.NewWriter(z)
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasSuffix(name, "lock") {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(b)), ModTime: time.Unix(0, 0)})
		}
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	})
	return errors.Join(err, w.Close(), z.Close(), f.Close())
}

// busyLife proposes every kind of command.
type busyLife struct {
	t     *testing.T
	n     *Node
	calls uint64
}

// do proposes one command, which must be accepted.
func (b *busyLife) do(c *fsmpb.Command) fsm.Result {
	b.t.Helper()
	c.Principal = "client:frozen"
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	res, _, err := b.n.Propose(ctx, c)
	if err != nil || res.Outcome != fsm.Accepted {
		b.t.Fatalf("%T: outcome %d, %v", c.Kind, res.Outcome, err)
	}
	return res
}
