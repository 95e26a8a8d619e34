package top

import (
	"cmp"
	"fmt"
	"time"
)

const (
	kept     = 600 // seconds of samples
	newsKept = 50
	// bannerFor is how long a change of the leader stands in the header.
	bannerFor = 10 * time.Second
)

// sample is one refresh's point of the charts.
type sample struct{ in, done, dead float64 }

// news is something that happened while we looked.
type news struct {
	at   time.Time
	text string
	bad  bool
}

// history turns Looks into rates, charts and news.
type history struct {
	last    *Look
	samples []sample
	news    []news
	leader  string // the last one that was seen
	term    uint64
	gone    bool              // nobody leads
	silent  map[string]bool   // by address
	names   map[string]string // the same; of those that have answered once
	commit  time.Duration     // the mean of the entries since the last look; 0: none
}

// add takes the next Look in and fills its rates.
func (h *history) add(l *Look) {
	h.compare(l)
	h.tell(l)
	h.last = l
}

// compare works out rates against the Look before.
func (h *history) compare(l *Look) {
	if h.last == nil {
		return
	}
	passed := l.At.Sub(h.last.At).Seconds()
	if passed <= 0 {
		return
	}
	before, now := h.last.sums(), l.sums()
	h.samples = append(h.samples, sample{
		in: rate(before.submitted, now.submitted, passed), done: rate(before.ended, now.ended, passed), dead: rate(before.dead, now.dead, passed),
	})
	if n := len(h.samples) - kept; n > 0 {
		h.samples = h.samples[n:]
	}
	queues := make(map[string]*Queue, len(h.last.Queues))
	for i := range h.last.Queues {
		queues[h.last.Queues[i].Name] = &h.last.Queues[i]
	}
	for i := range l.Queues {
		if q, old := &l.Queues[i], queues[l.Queues[i].Name]; old != nil {
			q.In, q.Done = rate(old.Submitted, q.Submitted, passed), rate(old.Ended, q.Ended, passed)
		}
	}
	workers := make(map[string]*Worker, len(h.last.Workers))
	for i := range h.last.Workers {
		workers[h.last.Workers[i].ID] = &h.last.Workers[i]
	}
	for i := range l.Workers {
		if w, old := &l.Workers[i], workers[l.Workers[i].ID]; old != nil {
			w.Rate = rate(old.Completed, w.Completed, passed)
		}
	}
	h.commit = 0
	if is, was := l.leader(), h.last.leader(); is != nil && was != nil && is.Name == was.Name && is.Commits > was.Commits && is.CommitNanos > was.CommitNanos {
		h.commit = time.Duration((is.CommitNanos - was.CommitNanos) / (is.Commits - was.Commits))
	}
}

// rate is never negative: counters begin anew when a record set is replaced.
func rate(before, now uint64, seconds float64) float64 {
	if now <= before {
		return 0
	}
	return float64(now-before) / seconds
}

// tell notes what became of masters and leadership.
func (h *history) tell(l *Look) {
	silent := make(map[string]bool, len(l.Masters))
	if h.names == nil {
		h.names = make(map[string]string)
	}
	for i := range l.Masters {
		m := &l.Masters[i]
		if m.Name != "" {
			h.names[m.Address] = m.Name
		}
		silent[m.Address] = m.Fault != ""
		was, known := h.silent[m.Address]
		switch {
		case known && !was && m.Fault != "":
			h.say(l.At, true, "%s does not answer: %s", h.nameOf(m), m.Fault)
		case known && was && m.Fault == "":
			h.say(l.At, false, "%s is back", m.Name)
		}
	}
	h.silent = silent
	leader := l.leader()
	switch {
	case leader == nil && h.leader != "" && !h.gone:
		h.gone = true
		h.say(l.At, true, "nobody leads")
	case leader == nil:
	case h.leader == "":
		h.leader, h.term, h.gone = leader.Name, leader.Term, false
	case leader.Name != h.leader || leader.Term != h.term:
		from := h.leader
		h.leader, h.term, h.gone = leader.Name, leader.Term, false
		if from == leader.Name {
			h.say(l.At, false, "%s leads again, in term %d", leader.Name, leader.Term)
		} else {
			h.say(l.At, false, "%s leads now, in term %d, after %s", leader.Name, leader.Term, from)
		}
	case h.gone:
		h.gone = false
		h.say(l.At, false, "%s leads again, in term %d", leader.Name, leader.Term)
	}
}

// nameOf is what a silent master was called when it answered.
func (h *history) nameOf(m *Master) string { return cmp.Or(m.Name, h.names[m.Address], m.Address) }

func (h *history) say(at time.Time, bad bool, format string, args ...any) {
	h.news = append(h.news, news{at, fmt.Sprintf(format, args...), bad})
	if n := len(h.news) - newsKept; n > 0 {
		h.news = h.news[n:]
	}
}

// banner is the newest news while it is fresh.
func (h *history) banner(now time.Time) *news {
	if n := len(h.news); n > 0 && now.Sub(h.news[n-1].at) < bannerFor {
		return &h.news[n-1]
	}
	return nil
}
