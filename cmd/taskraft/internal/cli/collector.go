package cli

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

const (
	// gcPercent lets a small heap grow further before it is collected than Go's 100:
	// most of a master's garbage is younger than one entry.
	gcPercent = 200
	// garbageRoom is what it may grow by when it is large, at gcPercent of 96 MiB. A
	// million queued tasks are half a GiB that is never garbage: in proportion to
	// that, the collector would let a master take a GiB and a half.
	garbageRoom = 192 << 20
	// leastPercent bounds what collecting may cost: the larger the heap, the longer
	// it takes.
	leastPercent = 25
	// hugeStep is how much address space the heap gets at a time for huge pages
	// (layOut). Under a memory limit of less than hugeLimit it gets none: there
	// collecting early matters more.
	hugeStep  = 256 << 20
	hugeLimit = 4 * hugeStep
)

// percentFor is the GOGC for a heap of which live bytes were no garbage.
func percentFor(live uint64) int {
	return int(min(max(garbageRoom*100/max(live, 1), leastPercent), gcPercent))
}

// paceCollector sets GOGC now and after every collection, for the next one, and
// sees that the heap has room for what it may grow by.
func paceCollector() {
	debug.SetGCPercent(gcPercent)
	makeRoom()
	repace(gcPercent)
}

// layingOut keeps the collections that layOut causes from causing another.
var layingOut sync.Mutex

// makeRoom lays out more of the heap when it may outgrow its address space before
// the next collection.
func makeRoom() {
	if !layingOut.TryLock() {
		return
	}
	defer layingOut.Unlock()
	var mapped uint64
	for _, class := range []string{"objects", "unused", "free", "released"} {
		mapped += metric("/memory/classes/heap/" + class + ":bytes")
	}
	if mapped < metric("/gc/heap/goal:bytes")+hugeStep/4 && debug.SetMemoryLimit(-1) >= hugeLimit {
		layOut()
	}
}

// repace waits for the next collection, by an object that it finds to be garbage.
func repace(percent int) {
	object := new([16]byte) // its own block: tiny objects share one
	runtime.AddCleanup(object, func(percent int) {
		// Setting it stops the world for a moment: only for what matters.
		if p := percentFor(metric("/gc/heap/live:bytes")); p < percent-percent/16 || p > percent+percent/16 {
			debug.SetGCPercent(p)
			percent = p
		}
		repace(percent)
		makeRoom()
	}, percent)
}

// gcPercentNow is the GOGC in effect, -1 when it is off.
func gcPercentNow() int { return int(int64(metric("/gc/gogc:percent"))) }

// metric is one of the runtime's, 0 if it has none of that name.
func metric(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
