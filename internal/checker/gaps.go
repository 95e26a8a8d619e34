package checker

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// Gaps are the longest times without an acknowledged change while clients were
// trying, each around one fault of a kind, in milliseconds and sorted (L3).
type Gaps map[string][]int64

// gaps finds them. Clients always try: each makes one call after the other.
func (r *Report) gaps(h *History) {
	r.Gaps = make(Gaps)
	var acks []int64
	for _, op := range h.Ops {
		if op.Outcome == OK && op.Kind != "get" {
			acks = append(acks, op.Return)
		}
	}
	slices.Sort(acks)
	for _, f := range h.Faults {
		if f.Skipped != "" || len(acks) == 0 {
			continue
		}
		from, _ := slices.BinarySearch(acks, f.Start)
		longest, last := int64(0), acks[max(0, from-1)]
		for _, at := range acks[from:] {
			longest = max(longest, at-last)
			if last = at; at > f.End {
				break
			}
		}
		r.Gaps[f.Kind] = append(r.Gaps[f.Kind], longest/int64(time.Millisecond))
	}
	for _, all := range r.Gaps {
		slices.Sort(all)
	}
}

// Print writes a line for each kind.
func (g Gaps) Print(w io.Writer) {
	for _, kind := range slices.Sorted(maps.Keys(g)) {
		all := g[kind]
		fmt.Fprintf(w, "checker: longest gap between acknowledged changes, %-28s %4d times  p50 %5d ms  p99 %5d ms  max %5d ms\n",
			kind, len(all), all[len(all)/2], all[(len(all)*99-1)/100], all[len(all)-1])
	}
}
