package fsm

// Concurrency keys: at most so many tasks of a queue with one key run at once.

// keyOf returns a key, made when it is not in use.
func (l *line) keyOf(name string) *key {
	k, ok := l.keys.Get(name)
	if !ok {
		k = &key{name: name, shut: l.perKey == 0}
		l.keys.Set(name, k)
	}
	return k
}

// laneOf returns the key's lane of a front, made when it is not there: there are
// as many as its tasks have different requirements.
func (k *key) laneOf(p *pool, f *front) *lane {
	for _, ln := range k.lanes {
		if ln.front == f {
			return ln
		}
	}
	if f.heads == nil {
		f.heads = newOrder()
	}
	ln := &lane{pool: p, front: f, ready: newOrder()}
	k.lanes = append(k.lanes, ln)
	return ln
}

// add puts a task into its lane and, if it is the first of its priority there,
// into the front.
func (ln *lane) add(k *key, it readyItem) {
	head, some := ln.head(it.priority)
	ln.ready.Set(it)
	if k.shut || some && head.before(it) {
		return
	}
	if some {
		ln.front.heads.Delete(head)
	}
	ln.front.heads.Set(it)
}

// remove takes a task out of its lane; the next of its priority takes its place.
func (ln *lane) remove(k *key, it readyItem) {
	head, _ := ln.head(it.priority)
	ln.ready.Delete(it)
	if k.shut || head.id != it.id {
		return
	}
	ln.front.heads.Delete(it)
	if next, ok := ln.head(it.priority); ok {
		ln.front.heads.Set(next)
	}
}

// head returns the first task of that priority in the lane.
func (ln *lane) head(priority int32) (readyItem, bool) {
	it, ok := firstOf(ln.ready, priority)
	return it, ok && it.priority == priority
}

// eachHead calls f with the first task of every priority in the lane.
func (ln *lane) eachHead(f func(readyItem)) {
	it, ok := ln.ready.Min()
	for ok {
		f(it)
		it, ok = nextPriority(ln.ready, it)
	}
}

// settle brings a key's lanes to what its limit allows now: out of their fronts
// when nothing of it may start. A key that nothing uses goes.
func (l *line) settle(k *key) {
	room := max(l.perKey-k.held, 0)
	if mutated("S9") {
		room = max(l.perKey+1-k.held, 0)
	}
	if shut := room == 0; shut != k.shut {
		k.shut = shut
		for _, ln := range k.lanes {
			ln.eachHead(func(it readyItem) {
				if shut {
					ln.front.heads.Delete(it)
				} else {
					ln.front.heads.Set(it)
				}
			})
		}
	}
	left := k.lanes[:0]
	for _, ln := range k.lanes {
		n := min(ln.ready.Len(), room)
		if n != ln.n {
			l.count(ln.pool, ln.front, n-ln.n)
			ln.n = n
		}
		if ln.ready.Len() > 0 {
			left = append(left, ln)
		}
	}
	clear(k.lanes[len(left):])
	k.lanes = left
	if len(k.lanes) == 0 && k.held == 0 {
		l.keys.Delete(k.name)
	}
}

// settleKeys settles every key, after the limit has changed.
func (l *line) settleKeys() {
	for _, k := range l.keys.Values() {
		l.settle(k)
	}
}

// admits reports whether the limits let one more task run, which is t. They know
// nothing of targets.
func (l *line) admits(t *Task) bool {
	if t.target() != nil {
		return true
	}
	if l.running() >= l.maxRunning {
		return false
	}
	if t.Extra == nil || t.Extra.ConcurrencyKey == "" {
		return true
	}
	k, ok := l.keys.Get(t.Extra.ConcurrencyKey)
	return !ok || k.held < l.perKey
}
