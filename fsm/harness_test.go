package fsm

import (
	"bytes"
	"flag"
	"maps"
	"slices"
	"strconv"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tidwall/btree"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

var update = flag.Bool("update", false, "rewrite the golden files from what the code does")

// epochStart is the table's clock at the beginning of every test.
const epochStart = 1_750_000_000 * Second

// reporter is what the helpers need of a *testing.T, *testing.B or *rapid.T.
type reporter interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// table drives a machine as the log does: every entry passes the codec.
type table struct {
	reporter
	m     *Machine
	index uint64
	now   int64
	log   [][]byte // the entries so far
}

func newTable(tb reporter) *table {
	return &table{reporter: tb, m: New(), now: epochStart}
}

// apply carries out one entry of these commands.
func (w *table) apply(commands ...*fsmpb.Command) *Applied {
	w.Helper()
	b, err := EncodeEntry(nil, &Entry{Header: Header{Level: 1, Term: 1, Now: w.now}, Commands: commands})
	if err != nil {
		w.Fatal(err)
	}
	w.log = append(w.log, b)
	w.index++
	return applyBytes(w, w.m, w.index, b)
}

// do carries out one command and returns its result.
func (w *table) do(c *fsmpb.Command) Result {
	w.Helper()
	return w.apply(c).Results[0]
}

func applyBytes(tb reporter, m *Machine, index uint64, b []byte) *Applied {
	tb.Helper()
	var d Decoder
	e, err := d.Entry(b)
	if err != nil {
		tb.Fatal(err)
	}
	a := m.Apply(index, 1, e)
	d.scribble()
	a.Events = slices.Clone(a.Events) // tests look at them after the next entry
	return a
}

// scribble writes over everything that Reset would take back.
func (d *Decoder) scribble() {
	for i := range d.specs.items {
		s := &d.specs.items[i]
		s.Reset()
		s.Queue, s.Kind, s.Payload, s.RequestId, s.Delay, s.ContentDigest = "!", "!", []byte("!"), "!", 1, 1
	}
	for i := range d.completions.items {
		c := &d.completions.items[i]
		c.Reset()
		c.Task, c.Fence, c.Digest, c.Result, c.ContentType = 1, 1, 1, []byte("!"), "!"
	}
}

// advance moves the clock by d with a tick at everything that falls due.
func (w *table) advance(d int64) {
	w.Helper()
	until := w.now + d
	for {
		due := w.m.NextDue()
		if due == 0 || due > until {
			break
		}
		w.now = due
		w.apply(tickCmd())
	}
	w.now = until
}

// task returns a record that must exist.
func (w *table) task(id uint64) *Task {
	w.Helper()
	t, _ := w.m.Task(id)
	if t == nil {
		w.Fatalf("task %d is not in the table", id)
	}
	return t
}

// snapshotBytes returns the table's canonical snapshot.
func snapshotBytes(tb reporter, m *Machine) []byte {
	tb.Helper()
	var b bytes.Buffer
	n, err := m.Snapshot().WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		tb.Fatalf("write snapshot: %d of %d bytes, %v", n, b.Len(), err)
	}
	return b.Bytes()
}

func restored(tb reporter, b []byte) *Machine {
	tb.Helper()
	m, err := Restore(bytes.NewReader(b))
	if err != nil {
		tb.Fatalf("restore: %v", err)
	}
	return m
}

// keyState is a concurrency key, comparable.
type keyState struct {
	Held  int
	Shut  bool
	Lanes [][]uint64
}

// indexes is everything that Restore rebuilds, comparable.
type indexes struct {
	Counts         map[string][Cancelled + 1]int64
	Bytes          map[string]int64
	Ready          map[string][]uint64 // by queue, labels, kind of front and place in it
	Eligible       map[string]int
	Keys           map[string]keyState
	Terminal       map[string][]trimItem
	Due, Timeouts  []dueItem
	Names, Fires   []nameItem
	Fired          map[string][]uint64
	Held, Lost     map[string][]fenceOf
	Alone          map[uint64]int
	Pairs          map[uint64][]string
	Weighted       map[uint64]bool
	Clearing, Ends []uint64
	Pinned         map[string][]uint64
	Targets        map[uint64][]uint64
	Pursuing       []uint64
	Late           []dueItem
	Reserved       map[uint64]int
	NextDue        int64
	Hash           uint64

	Batches       map[uint64][Cancelled + 1]int64
	BatchIDs      map[string]uint64
	BatchDue      []dueItem
	Busy          []uint64
	Staged        stagedSize
	Kids, Telling map[uint64][]uint64
	Waits         map[uint64]int
	Packed        map[string]int64
	Dead          map[uint64][]trimItem
	DeadIDs       []uint64
	Unique        map[string]uint64
	Catalog       map[string][]uint64
	Sweeping      []uint64
	Named         map[uint64]int
}

func indexesOf(m *Machine) indexes {
	x := indexes{
		Counts: map[string][Cancelled + 1]int64{}, Bytes: map[string]int64{},
		Ready: map[string][]uint64{}, Eligible: map[string]int{}, Keys: map[string]keyState{}, Terminal: map[string][]trimItem{},
		Pairs: map[uint64][]string{}, Weighted: map[uint64]bool{},
		Held: map[string][]fenceOf{}, Lost: map[string][]fenceOf{}, Alone: map[uint64]int{},
		Due: m.due.tree.Items(), Timeouts: m.timeouts.tree.Items(), Names: m.names.Items(), Fires: m.fires.Items(), Fired: map[string][]uint64{}, Clearing: m.clearing.Keys(), Ends: m.ending.Keys(), NextDue: m.NextDue(),
		Batches: map[uint64][Cancelled + 1]int64{}, BatchIDs: m.batchIDs, BatchDue: m.batchDue.tree.Items(), Busy: m.busy.Keys(), Staged: m.staged,
		Kids: map[uint64][]uint64{}, Telling: map[uint64][]uint64{}, Waits: m.waits, Packed: map[string]int64{}, Dead: map[uint64][]trimItem{}, DeadIDs: m.deadIDs.Keys(),
		Unique: maps.Clone(m.unique), Named: maps.Clone(m.named), Catalog: catalogOf(m), Sweeping: slices.Clone(m.sweeping),
		Hash:   m.Hash(),
		Pinned: map[string][]uint64{}, Targets: map[uint64][]uint64{}, Pursuing: m.pursuing.Keys(), Late: m.late.Items(), Reserved: map[uint64]int{},
	}
	ids := func(order *btree.BTreeG[readyItem]) (ids []uint64) {
		if order == nil {
			return nil
		}
		for _, it := range order.Items() {
			if t, _ := m.Task(it.id); t != it.task {
				panic("a lane holds an old record")
			}
			ids = append(ids, it.id)
		}
		return ids
	}
	pairs := func(f *fences) (out []fenceOf) {
		for fence, task := range f.all() {
			out = append(out, fenceOf{fence, task})
		}
		return out
	}
	for name, l := range m.lines {
		x.Packed[name] = l.packed
		x.Packed[name+" targets"], x.Bytes[name+" targets"], x.Packed[name+" beside"] = l.targets.tasks, l.targets.bytes, l.beside
		x.Counts[name], x.Bytes[name], x.Bytes[name+" live"] = l.counts, l.terminalBytes, l.liveBytes
		x.Terminal[name], x.Eligible[name], x.Eligible[name+" gated"] = l.terminal.Items(), l.eligible, l.gated
		pools := map[string]*pool{"": &l.open}
		maps.Copy(pools, l.pools)
		for labels, p := range pools {
			at := name + "/" + labels
			x.Eligible[at] = p.tasks
			for of, f := range map[string]*front{"beside": &p.beside, "alone": &p.alone} {
				x.Ready[at+"/"+of], x.Ready[at+"/"+of+"/heads"], x.Eligible[at+"/"+of] = ids(f.plain), ids(f.heads), f.n
			}
		}
		for _, k := range l.keys.Values() {
			state := keyState{Held: k.held, Shut: k.shut}
			for _, ln := range k.lanes {
				state.Lanes = append(state.Lanes, ids(ln.ready))
			}
			slices.SortFunc(state.Lanes, slices.Compare)
			x.Keys[name+"/"+k.name] = state
		}
	}
	for id, s := range m.live {
		x.Held[s.rec.Worker+"/"+string(rune('0'+id))], x.Alone[id] = pairs(&s.held), s.solo
		x.Pairs[id], x.Weighted[id] = s.pairs, s.weighted
	}
	for id, s := range m.live {
		x.Reserved[id] = s.targets
	}
	for name, lane := range m.pinned {
		x.Pinned[name] = ids(lane)
	}
	for id, r := range m.targets {
		x.Targets[id] = r.ids
		if len(r.ids) != len(r.workers) {
			panic("a roster of another number of workers")
		}
	}
	for name, f := range m.lost {
		x.Lost[name] = pairs(f)
	}
	for id, b := range m.lots {
		x.Batches[id] = b.counts
	}
	m.dead.Scan(func(key uint64, g *deadGroup) bool {
		x.Dead[key] = g.tasks.Items()
		return true
	})
	for parent, kids := range m.children {
		x.Kids[parent] = stillWaiting(m, kids)
	}
	for parent, kids := range m.telling {
		x.Telling[parent] = stillWaiting(m, kids)
	}
	maps.DeleteFunc(x.Kids, func(_ uint64, kids []uint64) bool { return len(kids) == 0 })
	maps.DeleteFunc(x.Telling, func(_ uint64, kids []uint64) bool { return len(kids) == 0 })
	for name, ids := range m.fired {
		x.Fired[name] = slices.Collect(ids.from(0))
	}
	return x
}

// stillWaiting leaves out the children that were cancelled meanwhile: they stay in
// the lists until their turn.
func stillWaiting(m *Machine, kids []uint64) (out []uint64) {
	for _, id := range kids {
		if t, _ := m.tasks.Get(id); t != nil && t.waiting() {
			out = append(out, id)
		}
	}
	return out
}

// check compares the machine's indexes and counters with a recount (S16) and
// its limits with their bounds.
func check(tb reporter, m *Machine) {
	tb.Helper()
	b := snapshotBytes(tb, m)
	r := restored(tb, b)
	if diff := gocmp.Diff(indexesOf(r), indexesOf(m), gocmp.AllowUnexported(dueItem{}, nameItem{}, fenceOf{}, trimItem{}, stagedSize{}), cmpopts.EquateEmpty()); diff != "" {
		tb.Fatalf("indexes differ from their recount (-recount +kept):\n%s", diff)
	}
	if again := snapshotBytes(tb, r); !bytes.Equal(b, again) { // C3
		tb.Fatal("the restored table writes another snapshot")
	}
	recount(tb, m)
}

// recount counts the tasks of each queue without the machine's indexes.
func recount(tb reporter, m *Machine) {
	tb.Helper()
	counts := make(map[string][Cancelled + 1]int64)
	total := make(map[string]uint64)
	last := uint64(1<<64 - 1)
	live := make(map[string]int64)
	unique := make(map[string]uint64)
	for t := range m.TasksBefore(0) {
		c := counts[t.Queue]
		c[t.State]++
		counts[t.Queue] = c
		total[t.Queue]++
		if t.ID >= last {
			tb.Fatalf("task %d after task %d", t.ID, last)
		}
		last = t.ID
		if !t.State.Terminal() {
			live[t.Queue] += int64(len(t.Payload))
			if x := t.Extra; x != nil && x.UniqueKey != "" && (!x.UntilStart || t.Attempts == 0 && (x.Broadcast == nil || x.Broadcast.Until == 0)) {
				if other := unique[x.UniqueKey]; other != 0 { // S20
					tb.Fatalf("tasks %d and %d live with unique key %s", other, t.ID, x.UniqueKey)
				}
				unique[x.UniqueKey] = t.ID
			}
		}
		if t.Failures > t.MaxAttempts || t.SoloCrashes > PoisonCrashes || t.State.Terminal() != (t.FinishedAt != 0) { // S8
			tb.Fatalf("task %d out of bounds: %+v", t.ID, t)
		}
		if t.Extra != nil && t.Generation == 1 {
			obeys(tb, m, t)
		}
	}
	searches(tb, m)
	for s := range m.Sweeps() {
		if s.Matched != s.Cancelled+s.Ended+s.Left || (s.FinishedAt != 0) && s.Left > 0 {
			tb.Fatalf("sweep %d does not add up: %+v", s.ID, s)
		}
	}
	for q := range m.QueuesAfter("") {
		if q.LiveBytes != live[q.Name] {
			tb.Fatalf("queue %s says %d bytes live, recount %d", q.Name, q.LiveBytes, live[q.Name])
		}
		if q.Counts != counts[q.Name] || q.SubmittedTotal != total[q.Name]+q.TrimmedTotal {
			tb.Fatalf("queue %s says %v, %d submitted, %d trimmed; recount %v, %d",
				q.Name, q.Counts, q.SubmittedTotal, q.TrimmedTotal, counts[q.Name], total[q.Name])
		}
	}
}

// catalogOf lists the catalog's sets that are not empty.
func catalogOf(m *Machine) map[string][]uint64 {
	out := make(map[string][]uint64)
	note := func(name string, s *idSet) {
		if s.len() > 0 {
			out[name] = slices.Collect(s.from(0))
		}
	}
	for s := range m.catalog.states {
		note(State(s).String(), &m.catalog.states[s])
	}
	for name, l := range m.lines {
		note("queue "+name, &l.ids)
	}
	for kind, s := range m.catalog.kinds {
		note("kind "+kind, s)
	}
	for label, s := range m.catalog.labels {
		note("label "+label.Key+"="+label.Value, s)
	}
	for worker, s := range m.catalog.workers {
		note("worker "+worker, s)
	}
	m.dead.Scan(func(key uint64, g *deadGroup) bool {
		note("group "+strconv.FormatUint(key, 16), &g.ids)
		return true
	})
	return out
}

// obeys checks that a task waits exactly as long as its parents have not ended,
// and does not go on when one of them did not succeed (S15).
func obeys(tb reporter, m *Machine, t *Task) {
	tb.Helper()
	open, failed := 0, false
	for _, p := range t.Extra.After {
		u, _ := m.tasks.Get(p.Task)
		switch {
		case u == nil && m.packed(p.Task) != nil:
			open++
		case u == nil || u.Generation > p.Generation: // it has ended, nobody knows how
		case !u.State.Terminal():
			open++
		default:
			failed = failed || u.State != Succeeded
		}
	}
	told := m.releasing.Len() == 0
	switch {
	case t.State.Terminal():
	case t.Extra.Waiting && told && open == 0:
		tb.Fatalf("task %d waits for parents that have ended: %+v", t.ID, t.Extra)
	case !t.Extra.Waiting && open > 0:
		tb.Fatalf("S15: task %d is %s before %d of its parents have ended: %+v", t.ID, t.State, open, t.Extra)
	case failed && told && !t.Extra.AfterRun:
		tb.Fatalf("task %d is %s though a parent did not succeed: %+v", t.ID, t.State, t.Extra)
	}
}

// sameApplied compares what two machines answered to one entry (C4).
func sameApplied(tb reporter, want, got *Applied) {
	tb.Helper()
	whole := gocmp.Transformer("extra", func(x *Extra) Extra { // one that has nothing left is like none
		if x == nil {
			return Extra{}
		}
		return *x
	})
	if diff := gocmp.Diff(want, got, protocmp.Transform(), cmpopts.EquateEmpty(), whole, gocmp.AllowUnexported(Extra{})); diff != "" {
		tb.Fatalf("two machines answer differently (-one +other):\n%s", diff)
	}
}
