package events

import (
	"context"
	"errors"
)

// Stream tells of events from a place on, those that a filter chooses:
//
//	for s.More(ctx) == nil {
//		for e, err := s.Event(); e != nil; e, err = s.Event() { … }
//	}
//
// It belongs to one goroutine. Close it after use.
type Stream struct {
	reader  reader
	decoder Decoder
	filter  Filter
	skip    Cursor // events up to it were seen
	at      Cursor // everything up to it was looked at
	to      uint64 // end of the present page
	fetched bool   // the page has events left
	afloat  bool   // it begins with the oldest there is when it is read first
}

// Stream returns the events behind a place. If that is in the future, it waits for it.
func (r *Ring) Stream(from Cursor, f Filter) *Stream {
	r.streams.Add(1)
	return &Stream{reader: reader{ring: r, next: max(from.Index, 1)}, filter: f, skip: from, at: from}
}

// StreamAll returns all events that are kept.
func (r *Ring) StreamAll(f Filter) *Stream {
	oldest, _ := r.Range()
	s := r.Stream(Cursor{Index: oldest}, f)
	s.afloat = true
	return s
}

// More waits until there is something to look at behind the present place. Errors:
// *CompactedError, ErrClosed, and ctx's; after ctx's it can be called again.
func (s *Stream) More(ctx context.Context) error {
	if s.fetched {
		return nil
	}
	p, err := s.reader.read(ctx)
	for gone := (*CompactedError)(nil); s.afloat && errors.As(err, &gone); {
		s.reader.next, s.at = gone.Oldest, Cursor{Index: gone.Oldest}
		p, err = s.reader.read(ctx)
	}
	if err != nil {
		return err
	}
	s.afloat = false
	s.decoder.Reset(p.records)
	s.to, s.fetched = p.to, true
	return nil
}

// Event returns the next event that is wanted, nil when there is none before the next
// More. It is valid until the call after; its strings can be kept.
func (s *Stream) Event() (*Event, error) {
	for s.fetched {
		e, err := s.decoder.Next()
		if err != nil {
			return nil, err
		}
		if e == nil {
			s.fetched, s.at = false, Cursor{Index: s.to + 1}
			break
		}
		if at := e.Cursor(); s.skip.Before(at) {
			s.at = at
			if s.filter.Matches(e) {
				return e, nil
			}
		}
	}
	return nil, nil
}

// Cursor is where another Stream goes on behind everything that this one has looked at.
func (s *Stream) Cursor() Cursor { return s.at }

// Close ends the stream.
func (s *Stream) Close() {
	s.reader.closeFile()
	s.reader.ring.streams.Add(-1)
}
