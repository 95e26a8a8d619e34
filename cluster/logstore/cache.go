package logstore

import (
	"sync"

	"github.com/hashicorp/raft"
)

// cache holds the newest entries, contiguous, within two bounds. It copies the
// raft.Log values (not their data): a pointer into Raft's futures would keep
// them and their responses alive.
type cache struct {
	mu       sync.RWMutex
	slots    []raft.Log // entry i is in slot i % len
	first    uint64
	count    int
	bytes    int
	maxBytes int
}

func newCache(entries, bytes int) *cache {
	return &cache{slots: make([]raft.Log, entries), maxBytes: bytes}
}

func (c *cache) slot(index uint64) *raft.Log { return &c.slots[index%uint64(len(c.slots))] }

func (c *cache) get(index uint64, out *raft.Log) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if index < c.first || index-c.first >= uint64(c.count) {
		return false
	}
	*out = *c.slot(index)
	return true
}

func (c *cache) add(logs []*raft.Log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range logs {
		if l.Index != c.first+uint64(c.count) {
			c.clear()
			c.first = l.Index
		}
		size := int(entrySize(l))
		for c.count > 0 && (c.count == len(c.slots) || c.bytes+size > c.maxBytes) {
			c.evict(c.first)
			c.first++
		}
		if size > c.maxBytes {
			c.first = l.Index + 1
			continue
		}
		*c.slot(l.Index) = *l
		c.count++
		c.bytes += size
	}
}

// evict empties the slot of the first or the last entry.
func (c *cache) evict(index uint64) {
	c.bytes -= int(entrySize(c.slot(index)))
	*c.slot(index) = raft.Log{}
	c.count--
}

func (c *cache) clear() {
	for c.count > 0 {
		c.evict(c.first + uint64(c.count) - 1)
	}
}

// dropThrough forgets the entries up to and including index.
func (c *cache) dropThrough(index uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.count > 0 && c.first <= index {
		c.evict(c.first)
		c.first++
	}
}

// dropFrom forgets the entries from index on.
func (c *cache) dropFrom(index uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.count > 0 && c.first+uint64(c.count)-1 >= index {
		c.evict(c.first + uint64(c.count) - 1)
	}
}
