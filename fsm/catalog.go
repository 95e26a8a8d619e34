package fsm

// catalog tells which tasks have what a search can ask for: one set of ids for each
// state, kind, label and worker; each queue and each group of dead tasks has its
// own. Also tasks of batches that have no records yet stand in it.
type catalog struct {
	states  [Cancelled + 1]idSet
	kinds   map[string]*idSet
	labels  map[Label]*idSet
	workers map[string]*idSet // by who holds a task, or held it last

	kind    string // the one last asked for,
	ofKind  *idSet // and its set
	nothing idSet  // stays empty
}

// keepKinds is how many kinds keep their sets when nothing is in them.
const keepKinds = 256

func newCatalog() catalog {
	return catalog{kinds: make(map[string]*idSet), labels: make(map[Label]*idSet), workers: make(map[string]*idSet)}
}

// keeper is the worker that holds t, or held it last; "": none did.
func (t *Task) keeper() string {
	if t.Fence != 0 {
		return t.Worker
	}
	if n := len(t.Ended); n > 0 {
		return t.Ended[n-1].Worker
	}
	return ""
}

// labels are those that a search can ask for.
func (t *Task) labels() []Label {
	if t.Extra == nil {
		return nil
	}
	return t.Extra.Labels
}

// update brings the sets from old to t.
func (c *catalog) update(l *line, old, t *Task) {
	if old == &absent {
		c.enter(l, t.ID, t.Kind, t.labels())
		c.states[t.State].add(t.ID)
	} else if old.State != t.State {
		c.states[old.State].remove(t.ID)
		c.states[t.State].add(t.ID)
	}
	if was, is := old.keeper(), t.keeper(); was != is {
		removeFrom(c.workers, was, t.ID)
		addTo(c.workers, is, t.ID)
	}
}

// drop takes a task out whose record goes.
func (c *catalog) drop(l *line, t *Task) {
	c.states[t.State].remove(t.ID)
	c.leave(l, t.ID, t.Kind, t.labels())
	removeFrom(c.workers, t.keeper(), t.ID)
}

// enter notes what never changes about a task.
func (c *catalog) enter(l *line, id uint64, kind string, labels []Label) {
	l.ids.add(id)
	if c.ofKind == nil || c.kind != kind {
		if c.kinds[kind] == nil {
			c.kinds[kind] = new(idSet)
		}
		c.kind, c.ofKind = kind, c.kinds[kind]
	}
	c.ofKind.add(id)
	for _, label := range labels {
		addTo(c.labels, label, id)
	}
}

func (c *catalog) leave(l *line, id uint64, kind string, labels []Label) {
	l.ids.remove(id)
	set := c.kinds[kind]
	set.remove(id)
	if set.len() == 0 && len(c.kinds) > keepKinds {
		delete(c.kinds, kind)
		c.ofKind = nil
	}
	for _, label := range labels {
		removeFrom(c.labels, label, id)
	}
}

// addTo adds an id to the set of a key; the empty key has none.
func addTo[K comparable](sets map[K]*idSet, key K, id uint64) {
	var none K
	if key == none {
		return
	}
	set := sets[key]
	if set == nil {
		set = new(idSet)
		sets[key] = set
	}
	set.add(id)
}

func removeFrom[K comparable](sets map[K]*idSet, key K, id uint64) {
	set := sets[key]
	if set == nil {
		return
	}
	if set.remove(id); set.len() == 0 {
		delete(sets, key)
	}
}
