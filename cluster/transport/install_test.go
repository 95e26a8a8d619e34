package transport

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// tape is a state machine that is the text of what it applied.
type tape struct {
	mu   sync.Mutex
	text string
}

func (t *tape) Apply(l *raft.Log) any {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text += string(l.Data)
	return nil
}

func (*tape) Snapshot() (raft.FSMSnapshot, error) { return nil, errors.New("none is taken") }

func (t *tape) Restore(r io.ReadCloser) error {
	b, err := io.ReadAll(r)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = string(b)
	return err
}

func (t *tape) read() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text
}

// holeless is a log without holes, as the product's is.
type holeless struct{ *raft.InmemStore }

func (holeless) IsMonotonic() bool { return true }

// replica is one that the test sees into.
type replica struct {
	*raft.Raft
	logs      raft.LogStore
	installed []uint64 // read it when RPCs have been answered
	spared    []uint64
}

func (r *replica) Has(index uint64) bool { return index <= r.AppliedIndex() }

func (r *replica) Follows(index, term uint64) bool {
	if r.Raft == nil { // the test plays it
		return false
	}
	first, _ := r.logs.FirstIndex()
	return first == index+1 && r.Stats()["last_snapshot_index"] == fmt.Sprint(index) && r.Stats()["last_snapshot_term"] == fmt.Sprint(term)
}

func (r *replica) Installed(index uint64) { r.installed = append(r.installed, index) }

func (r *replica) Spared(index uint64, _ bool) { r.spared = append(r.spared, index) }

func (r *replica) Spool() (Spool, error) {
	f, err := os.CreateTemp("", "snapshot")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// alone is a replica whose leaders the test plays.
type alone struct {
	replica
	t    *testing.T
	tape *tape
	to   raft.ServerAddress
	by   raft.Transport // of the leaders
}

// startAlone starts one; bare: with the library's transport instead of ours.
func startAlone(t *testing.T, bare bool) *alone {
	t.Helper()
	members, conf := trio(t)
	n1 := members[0]
	a := &alone{t: t, tape: new(tape), to: conf.Servers[0].Address, by: members[1].tr}
	var tr raft.Transport = n1.tr
	if bare {
		addr, own := raft.NewInmemTransport(a.to)
		_, peer := raft.NewInmemTransport("")
		peer.Connect(addr, own)
		tr, a.by = own, peer
	}
	c := raft.DefaultConfig()
	c.LocalID, c.LogOutput = n1.tr.id, io.Discard
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = time.Hour, time.Hour, time.Hour
	logs, snaps := holeless{n1.store}, raft.NewInmemSnapshotStore()
	if err := raft.BootstrapCluster(c, logs, n1.store, snaps, tr, conf); err != nil {
		t.Fatal(err)
	}
	r, err := raft.NewRaft(c, a.tape, logs, n1.store, snaps, tr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Shutdown().Error() })
	a.replica = replica{Raft: r, logs: logs}
	if !bare {
		n1.tr.Serve(&a.replica)
	}
	return a
}

func leads() raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: 3, ID: []byte("n2/b"), Addr: []byte("n2/b@there")}
}

// entry puts one letter behind prev and commits up to commit.
func (a *alone) entry(term, prev, prevTerm uint64, letter string, commit uint64) bool {
	a.t.Helper()
	ok, err := a.tryEntry(term, prev, prevTerm, letter, commit)
	if err != nil {
		a.t.Fatal(err)
	}
	return ok
}

func (a *alone) tryEntry(term, prev, prevTerm uint64, letter string, commit uint64) (bool, error) {
	req := &raft.AppendEntriesRequest{
		RPCHeader: leads(), Term: term, PrevLogEntry: prev, PrevLogTerm: prevTerm, LeaderCommitIndex: commit,
		Entries: []*raft.Log{{Index: prev + 1, Term: term, Type: raft.LogCommand, Data: []byte(letter)}},
	}
	var resp raft.AppendEntriesResponse
	err := a.by.AppendEntries("n1/a", a.to, req, &resp)
	return resp.Success, err
}

// entries puts letters behind the first entry, the configuration, and commits some.
func (a *alone) entries(term uint64, letters string, commit uint64) {
	a.t.Helper()
	prev, prevTerm := uint64(1), uint64(1)
	for _, letter := range letters {
		if !a.entry(term, prev, prevTerm, string(letter), min(commit, prev+1)) {
			a.t.Fatalf("entry %d is refused", prev+1)
		}
		prev, prevTerm = prev+1, term
	}
}

// snapshot sends one of that leader's term that ends with an entry of lastTerm.
func (a *alone) snapshot(term, last, lastTerm uint64, text string) bool {
	a.t.Helper()
	ok, err := a.trySnapshot(term, last, lastTerm, strings.NewReader(text), len(text))
	if err != nil {
		a.t.Fatal(err)
	}
	return ok
}

func (a *alone) trySnapshot(term, last, lastTerm uint64, from io.Reader, size int) (bool, error) {
	conf := raft.Configuration{Servers: []raft.Server{{ID: "n1/a", Address: a.to}, {ID: "n2/b", Address: "there"}}}
	req := &raft.InstallSnapshotRequest{
		RPCHeader: leads(), SnapshotVersion: 1, Term: term, LastLogIndex: last, LastLogTerm: lastTerm,
		Configuration: raft.EncodeConfiguration(conf), ConfigurationIndex: 1, Size: int64(size),
	}
	var resp raft.InstallSnapshotResponse
	err := a.by.InstallSnapshot("n1/a", a.to, req, &resp, from)
	return resp.Success, err
}

// holds waits until the state machine is at text, and compares what the log has.
func (a *alone) holds(text string, first, last uint64) {
	a.t.Helper()
	eventually(a.t, "the state machine is at "+text+", it is at "+a.tape.read(), func() bool { return a.tape.read() == text })
	lo, _ := a.logs.FirstIndex()
	hi, _ := a.logs.LastIndex()
	if lo != first || hi != last {
		a.t.Errorf("the log goes from %d to %d, want %d to %d", lo, hi, first, last)
	}
}

const big = 4 << 20 // more than any buffer on the way

func TestSnapshotThatIsNeeded(t *testing.T) {
	a := startAlone(t, false)
	a.entries(50, "a", 2)
	text := "abcd" + strings.Repeat(".", big)
	if !a.snapshot(50, 5, 50, text) || !slices.Equal(a.installed, []uint64{5}) {
		t.Fatalf("not installed: %v", a.installed)
	}
	a.holds(text, 0, 0)
	if !a.entry(50, 5, 50, "e", 6) {
		t.Fatal("the entry behind the snapshot is refused")
	}
	a.holds(text+"e", 6, 6)
}

// TestLateSnapshot: the first of two snapshots is taken after the second one and after
// entries behind it.
func TestLateSnapshot(t *testing.T) {
	late := func(bare bool) *alone {
		a := startAlone(t, bare)
		if !a.snapshot(50, 5, 50, "abcd") || !a.entry(50, 5, 50, "e", 6) || !a.entry(50, 6, 50, "f", 6) {
			t.Fatal("what was needed is refused")
		}
		if !a.snapshot(50, 3, 50, "ab"+strings.Repeat(".", big)) {
			t.Error("the leader is told that a snapshot it need not send again was not taken")
		}
		return a
	}
	a := late(false)
	a.holds("abcde", 6, 7)
	if !a.entry(50, 7, 50, "g", 8) { // on the connection that the snapshot came by
		t.Error("the next entry is refused")
	}
	a.holds("abcdefg", 6, 8)
	if !slices.Equal(a.installed, []uint64{5}) || !slices.Equal(a.spared, []uint64{3}) {
		t.Errorf("installed %v, spared %v, want 5 and 3", a.installed, a.spared)
	}
	a = late(true)
	if hi, _ := a.logs.LastIndex(); hi != 0 || !strings.HasPrefix(a.tape.read(), "ab.") {
		t.Errorf("the library keeps its log up to %d: it changed, or the test does not work any more", hi)
	}
}

// TestSnapshotInsideTheLog: the log holds the snapshot's last entry already, and
// acknowledged ones behind it that are not committed yet.
func TestSnapshotInsideTheLog(t *testing.T) {
	inside := func(bare bool) *alone {
		a := startAlone(t, bare)
		a.entries(50, "abcdef", 2)
		if !a.snapshot(51, 5, 50, "abcd") {
			t.Error("refused")
		}
		return a
	}
	a := inside(false)
	a.holds("a", 1, 7)
	if !a.entry(51, 7, 50, "g", 8) {
		t.Error("the next entry is refused")
	}
	a.holds("abcdefg", 1, 8)
	if hi, _ := inside(true).logs.LastIndex(); hi != 0 {
		t.Errorf("the library keeps its log up to %d: it changed, or the test does not work any more", hi)
	}
}

// TestSnapshotOfADeposedLeader is not taken, whatever it brings.
func TestSnapshotOfADeposedLeader(t *testing.T) {
	a := startAlone(t, false)
	a.entries(51, "ab", 3)
	for _, last := range []uint64{2, 9} {
		if a.snapshot(50, last, 50, "other") {
			t.Errorf("the one up to %d is taken", last)
		}
	}
	a.holds("ab", 1, 3)
}

// TestEntriesBehindASnapshotAreReplaced: all that the log holds behind its snapshot is
// of a deposed leader.
func TestEntriesBehindASnapshotAreReplaced(t *testing.T) {
	replace := func(bare bool) (*alone, bool) {
		a := startAlone(t, bare)
		if !a.snapshot(50, 5, 50, "abcd") || !a.entry(50, 5, 50, "x", 5) || !a.entry(50, 6, 50, "y", 5) {
			t.Fatal("what was needed is refused")
		}
		return a, a.entry(51, 5, 50, "e", 6)
	}
	a, done := replace(false)
	if !done {
		t.Error("the successor's entry is refused")
	}
	a.holds("abcde", 6, 6)
	if a.entry(51, 5, 49, "z", 6) {
		t.Error("an entry behind another term's is taken")
	}
	if _, done := replace(true); done {
		t.Error("the library takes it: it changed, or the test does not work any more")
	}
}

// TestSnapshotOverAnotherLog is the case for Replica.Installed: the library still
// believes in the log that it has deleted.
func TestSnapshotOverAnotherLog(t *testing.T) {
	for _, letters := range []string{"auvw", "auvwxyz"} { // the log ends where the snapshot does, or behind
		a := startAlone(t, false)
		a.entries(50, letters, 2)
		if !a.snapshot(51, 5, 51, "abcd") || !slices.Equal(a.installed, []uint64{5}) {
			t.Fatalf("not installed: %v", a.installed)
		}
		a.holds("abcd", 0, 0)
		if last := a.Stats()["last_log_index"]; last != fmt.Sprint(1+len(letters)) {
			t.Errorf("Raft's last entry is %s, not that of the deleted log: the library changed", last)
		}
		if a.entry(51, 5, 51, "e", 6) {
			t.Error("the library goes on from the snapshot: it changed")
		}
	}
}

// stall begins to send a snapshot up to last and stops in the middle. What it returns
// sends the rest, and waits for the answer.
func (a *alone) stall(last uint64) (goOn func() (bool, error)) {
	a.t.Helper()
	half := strings.Repeat(".", big/2)
	from, to := io.Pipe()
	type answer struct {
		ok  bool
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		ok, err := a.trySnapshot(50, last, 50, from, big)
		from.Close()
		answered <- answer{ok, err}
	}()
	if _, err := io.WriteString(to, half); err != nil { // more than all buffers: it is being read
		a.t.Fatal(err)
	}
	return func() (bool, error) {
		_, _ = io.WriteString(to, half)
		to.Close()
		got := <-answered
		return got.ok, got.err
	}
}

// TestStalledSnapshotHoldsUpNothing: a snapshot that stops on its way keeps Raft from
// nothing else.
func TestStalledSnapshotHoldsUpNothing(t *testing.T) {
	a := startAlone(t, false)
	a.entries(50, "a", 2)
	goOn := a.stall(9)
	if !a.entry(50, 2, 50, "b", 3) {
		t.Error("an entry is refused")
	}
	a.holds("ab", 1, 3)
	if ok, err := goOn(); !ok || err != nil {
		t.Errorf("the whole snapshot is not taken: %v", err)
	}
	a.holds(strings.Repeat(".", big), 0, 0)

	a = startAlone(t, true)
	a.entries(50, "a", 2)
	goOn = a.stall(9)
	if _, err := a.tryEntry(50, 2, 50, "b", 3); err == nil {
		t.Error("the library answers meanwhile: it changed, or the test does not work any more")
	}
	_, _ = goOn()
}

// TestNewerSnapshotSupersedes: one that comes while another is on its way is the one.
func TestNewerSnapshotSupersedes(t *testing.T) {
	a := startAlone(t, false)
	goOn := a.stall(9)
	if !a.snapshot(50, 5, 50, "abcd") {
		t.Error("the newer one is not taken")
	}
	if ok, err := goOn(); ok || err == nil || !strings.Contains(err.Error(), errSuperseded.Error()) {
		t.Errorf("the older one: %v, %v", ok, err)
	}
	a.holds("abcd", 0, 0)
}

// TestOlderLeadersSnapshotSupersedesNothing: one of an older term is refused at once.
func TestOlderLeadersSnapshotSupersedesNothing(t *testing.T) {
	a := startAlone(t, false)
	goOn := a.stall(9) // of term 50
	if ok, err := a.trySnapshot(49, 5, 49, strings.NewReader("abcd"), 4); ok || err == nil {
		t.Errorf("the one of term 49: %v, %v", ok, err)
	}
	if ok, err := goOn(); !ok || err != nil {
		t.Errorf("the one of term 50: %v, %v", ok, err)
	}
}

// TestSnapshotThatEndsEarly never reaches Raft.
func TestSnapshotThatEndsEarly(t *testing.T) {
	file, err := new(replica).Spool()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tr, own := new(Raft), new(arrival)
	tr.newest.Store(own)
	if err := tr.fill(file, strings.NewReader("abc"), 4, own); err == nil || !strings.Contains(err.Error(), "3 of 4") {
		t.Errorf("error %v", err)
	}
}

// TestSnapshotsWaitForServe: nothing reaches a Raft that is still being made.
func TestSnapshotsWaitForServe(t *testing.T) {
	members, conf := trio(t)
	asked := make(chan error, 1)
	go func() {
		var resp raft.AppendEntriesResponse
		asked <- members[1].tr.AppendEntries("n1/a", conf.Servers[0].Address, &raft.AppendEntriesRequest{RPCHeader: leads(), Term: 1}, &resp)
	}()
	select {
	case rpc := <-members[0].tr.Consumer():
		t.Fatalf("%v came before Serve", rpc.Command)
	case <-time.After(50 * time.Millisecond):
	}
	members[0].tr.Serve(&replica{})
	rpc := <-members[0].tr.Consumer()
	rpc.Respond(&raft.AppendEntriesResponse{Term: 1}, nil)
	if err := <-asked; err != nil {
		t.Error(err)
	}
}
