package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
)

const (
	lookEvery = 250 * time.Millisecond // how soon a page hears of a change
	quietFor  = 10 * time.Second       // a stream that says nothing is dead
	catchUp   = 5 * time.Second        // to the index at which another master was left
)

// news is one event of the stream.
type news struct {
	Name   string  `json:"name"` // of the master that tells
	Leader string  `json:"leader"`
	Term   uint64  `json:"term"`
	Index  uint64  `json:"index"`
	Sample *sample `json:"sample,omitempty"` // a new one for the charts
}

// live streams server-sent events: at once, and whenever the table, the leader or
// the charts have something new. An id is INDEX.SUB; a page that comes from another
// master brings the last one and hears nothing older.
func (h *Handler) live(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(h.ended, cancel)()
	id := r.Header.Get("Last-Event-ID")
	if id == "" {
		id = r.URL.Query().Get("after")
	}
	h.reach(ctx, id)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var last news
	var sampled float64
	said, sub := time.Time{}, 0
	for {
		leader, led := h.cfg.Node.Leader()
		pos := h.cfg.Node.Position()
		x := news{Name: h.cfg.Name, Leader: leader.Name, Term: max(leader.Term, pos.Term), Index: pos.Index}
		changed := x != last
		if sub++; x.Index != last.Index {
			sub = 0
		}
		last = x
		newest, sampling := h.history.newest()
		if newest.Time != sampled {
			sampled, x.Sample, changed = newest.Time, &newest, true
		}
		var err error
		switch {
		case changed:
			said = time.Now()
			data, _ := json.Marshal(x) // it always encodes
			_, err = fmt.Fprintf(w, "id: %d.%d\nevent: news\ndata: %s\n\n", x.Index, sub, data)
		case time.Since(said) > quietFor:
			said = time.Now()
			_, err = fmt.Fprint(w, ": still here\n\n")
		}
		if err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-led:
		case <-sampling:
		case <-ctx.Done():
			return
		}
	}
}

// reach waits until this master shows what the page has seen elsewhere.
func (h *Handler) reach(ctx context.Context, id string) {
	index, err := strconv.ParseUint(strings.SplitN(id, ".", 2)[0], 10, 64)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	// After that the page is told what there is: the master says how old that is.
	_, _ = h.cfg.Node.Read(ctx, cluster.ReadOptions{Level: cluster.Stale, MinIndex: index}, func(*fsm.Machine) {})
}
