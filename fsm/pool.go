package fsm

import (
	"math"
	"slices"

	"github.com/tidwall/btree"
)

// The ready tasks of a queue, so that choosing costs O(log n) whatever waits:
//
//	line ──► pool, by the labels that its tasks require (open: none)
//	           └ front, for tasks that run beside others; one for those that must not
//	               ├ plain  tasks without a concurrency key
//	               └ heads  of each lane that is not shut, the first of each priority
//	                   └ lane, by concurrency key: shut while the key's limit is reached
//
// A session looks at the first items of the fronts of the pools that it matches;
// what a limit holds back is not among them.

// pool holds the ready tasks that require the same labels.
type pool struct {
	name          string
	require       []Label
	pair          string // the label under which the line lists it
	tasks         int
	beside, alone front
}

// front is one order of a pool.
type front struct {
	plain *btree.BTreeG[readyItem] // nil until used
	heads *btree.BTreeG[readyItem] // nil until used
	n     int                      // tasks that the limits per key let start
	hint  btree.PathHint
}

// key is a concurrency key in use: by a task that is ready or held.
type key struct {
	name  string
	held  int // RUNNING + STOPPING
	shut  bool
	lanes []*lane // not empty ones
}

// lane holds the ready tasks of one front with one key.
type lane struct {
	pool  *pool
	front *front
	ready *btree.BTreeG[readyItem]
	n     int // its share of front.n
}

// readyItem is a task's place in an order.
type readyItem struct {
	priority int32
	at       int64
	id       uint64
	task     *Task
}

func readyOf(t *Task) readyItem {
	it := readyItem{priority: t.Priority, at: t.EligibleAt, id: t.ID, task: t}
	if mutated("M26") && it.priority < 0 {
		it.priority = -it.priority
	}
	return it
}

// before is the order of S9: priority, then the time of eligibility, then the id.
func (a readyItem) before(b readyItem) bool {
	if a.priority != b.priority {
		return a.priority > b.priority
	}
	if a.at != b.at {
		return a.at < b.at
	}
	return a.id < b.id
}

func newOrder() *btree.BTreeG[readyItem] {
	return btree.NewBTreeGOptions(readyItem.before, btree.Options{NoLocks: true})
}

// front returns where t stands when it is ready.
func (p *pool) front(t *Task) *front {
	if t.alone() {
		return &p.alone
	}
	return &p.beside
}

func (f *front) set(it readyItem) {
	if f.plain == nil {
		f.plain = newOrder()
	}
	f.plain.SetHint(it, &f.hint)
}

// indexReady keeps the places of the ready tasks, and what runs per key.
func (l *line) indexReady(old, t *Task) {
	if t.Extra != nil {
		l.indexExtra(old, t)
		return
	}
	l.place(&l.open, old, t)
}

// place keeps the place of a task without a key in its pool.
func (l *line) place(p *pool, old, t *Task) {
	was, is := old.State == Ready, t.State == Ready
	if was && (!is || old.EligibleAt != t.EligibleAt || old.alone() != t.alone()) {
		l.leave(p, old)
		was = false
	}
	switch {
	case is && was:
		p.front(t).set(readyOf(t))
	case is:
		l.enter(p, t)
	}
}

func (l *line) enter(p *pool, t *Task) {
	f := p.front(t)
	f.set(readyOf(t))
	p.tasks++
	l.count(p, f, 1)
}

func (l *line) leave(p *pool, t *Task) {
	f := p.front(t)
	f.plain.DeleteHint(readyOf(t), &f.hint)
	p.tasks--
	l.count(p, f, -1)
}

// count notes that n more tasks of a front may start, as far as keys go.
func (l *line) count(p *pool, f *front, n int) {
	f.n += n
	l.eligible += n
	if p != &l.open {
		l.gated += n
		if n > 0 {
			l.gains++
		}
	}
}

// indexExtra is indexReady for tasks that require labels or have a key.
func (l *line) indexExtra(old, t *Task) {
	was, is := old.State == Ready, t.State == Ready
	held := 0
	if old.held() != t.held() {
		held = 1
		if old.held() {
			held = -1
		}
	}
	if !was && !is && held == 0 {
		return
	}
	p := l.poolOf(t.Extra)
	if t.Extra.ConcurrencyKey == "" {
		l.place(p, old, t)
	} else {
		k := l.keyOf(t.Extra.ConcurrencyKey)
		if was {
			p.tasks--
			k.laneOf(p, p.front(old)).remove(k, readyOf(old))
		}
		if is {
			p.tasks++
			k.laneOf(p, p.front(t)).add(k, readyOf(t))
		}
		k.held += held
		l.settle(k)
	}
	if p.tasks == 0 {
		l.dropPool(p)
	}
}

// poolOf returns the pool of a task's labels, made when it is not there. It is
// listed under the label that lists the fewest, so that a session, looking under
// each of its labels, meets few that it does not match.
func (l *line) poolOf(x *Extra) *pool {
	if x.pool == "" {
		return &l.open
	}
	if p := l.pools[x.pool]; p != nil {
		return p
	}
	p := &pool{name: x.pool, require: x.Require}
	fewest := math.MaxInt
	for _, label := range x.Require {
		pair := string(label.append(nil))
		if n := len(l.byPair[pair]); n < fewest {
			p.pair, fewest = pair, n
		}
	}
	if l.pools == nil {
		l.pools, l.byPair = make(map[string]*pool), make(map[string][]*pool)
	}
	l.pools[p.name] = p
	l.byPair[p.pair] = append(l.byPair[p.pair], p)
	return p
}

// dropPool forgets a pool that is empty, other than the open one.
func (l *line) dropPool(p *pool) {
	if p == &l.open {
		return
	}
	delete(l.pools, p.name)
	others := l.byPair[p.pair]
	if i := slices.Index(others, p); len(others) > 1 {
		l.byPair[p.pair] = slices.Delete(others, i, i+1)
	} else {
		delete(l.byPair, p.pair)
	}
}

// matching calls f with every pool of restricted tasks that the session may take.
func (l *line) matching(s *session, f func(*pool)) {
	if len(l.pools) == 0 {
		return
	}
	for _, pair := range s.pairs {
		for _, p := range l.byPair[pair] {
			if s.has(p.require) {
				f(p)
			}
		}
	}
}

// first returns the first of a front's tasks; without a task when there is none.
func (l *line) first(f *front) readyItem {
	a, b := l.firstIn(f.plain), l.firstIn(f.heads)
	if l.sooner(a, b) {
		return a
	}
	return b
}

// firstIn returns the first item of one order. With ageing that is the best of
// the first ones of each priority.
func (l *line) firstIn(order *btree.BTreeG[readyItem]) readyItem {
	if order == nil {
		return readyItem{}
	}
	best, _ := order.Min()
	if l.ageing == 0 {
		return best
	}
	for it, ok := nextPriority(order, best); ok; it, ok = nextPriority(order, it) {
		if l.sooner(it, best) {
			best = it
		}
	}
	return best
}

// nextPriority returns the first item with a lower priority than it has.
func nextPriority(order *btree.BTreeG[readyItem], it readyItem) (next readyItem, ok bool) {
	if it.task == nil || it.priority == math.MinInt32 {
		return readyItem{}, false
	}
	return firstOf(order, it.priority-1)
}

// firstOf returns the first item with at most that priority.
func firstOf(order *btree.BTreeG[readyItem], priority int32) (first readyItem, ok bool) {
	order.Ascend(readyItem{priority: priority, at: math.MinInt64}, func(it readyItem) bool {
		first, ok = it, true
		return false
	})
	return first, ok
}

// sooner reports whether a is to start before b, both of this queue. With ageing
// a step of priority is worth a time of waiting: the difference does not change
// while both wait. Who came exactly so much later comes after.
func (l *line) sooner(a, b readyItem) bool {
	if a.task == nil || b.task == nil {
		return a.task != nil
	}
	if l.ageing != 0 && a.priority != b.priority {
		x, y := a.at-l.worth(a.priority), b.at-l.worth(b.priority)
		if x != y {
			return x < y
		}
		if a.at != b.at {
			return a.at < b.at
		}
	}
	return a.before(b)
}

// worth is the time of waiting that a priority is worth.
func (l *line) worth(priority int32) int64 {
	return int64(min(max(priority, -maxWorth), maxWorth)) * l.ageing
}

// grown is a priority that has grown with waiting.
func (l *line) grown(it readyItem, now int64) int64 {
	if l.ageing == 0 || mutated("W4") {
		return int64(it.priority)
	}
	return int64(it.priority) + (now-it.at)/l.ageing
}
