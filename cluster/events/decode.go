package events

import (
	"encoding/binary"
	"errors"

	"github.com/taskraft/taskraft/fsm"
)

var errRecord = errors.New("damaged record")

// Decoder reads the events of records that follow each other, each with its length
// before it. The zero value with Reset is ready.
type Decoder struct {
	rest   []byte // records
	record []byte // the rest of the present one
	last   Event
	bad    bool
}

// Reset begins to read records.
func (d *Decoder) Reset(records []byte) { *d = Decoder{rest: records, last: d.last} }

// Next returns the next event, or nil behind the last one. It is valid until the
// call after; its strings can be kept.
func (d *Decoder) Next() (*Event, error) {
	for len(d.record) == 0 {
		if len(d.rest) == 0 {
			return nil, nil
		}
		var ok bool
		if d.record, d.rest, ok = cutRecord(d.rest); !ok {
			return nil, errRecord
		}
		v := Event{Index: d.number(), Term: d.number(), Now: int64(d.number())}
		d.last = v
		if d.bad {
			return nil, errRecord
		}
	}
	d.event()
	if d.bad {
		return nil, errRecord
	}
	return &d.last, nil
}

// cutRecord cuts the first record off.
func cutRecord(b []byte) (record, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n == 0 || n > uint64(len(b)-size) {
		return nil, nil, false
	}
	return b[size : size+int(n)], b[size+int(n):], true
}

// recordIndex returns the entry of a record.
func recordIndex(record []byte) uint64 {
	index, _ := binary.Uvarint(record)
	return index
}

// event reads one event over the one before.
func (d *Decoder) event() {
	v := &d.last
	v.Sub++
	v.Type = Type(d.byte())
	mask := d.number()
	if mask >= hasEnd || v.Type == 0 || v.Type >= typeEnd {
		d.bad = true
		return
	}
	if mask&hasTask != 0 {
		v.Task += uint64(d.signed())
	}
	if mask&hasFence != 0 {
		v.Fence += uint64(d.signed())
	}
	if mask&hasState != 0 {
		v.State = fsm.State(d.byte())
	}
	if mask&hasPrincipal != 0 {
		v.Principal = d.text()
	}
	if mask&hasSession != 0 {
		v.Session += uint64(d.signed())
	}
	if mask&hasWorker != 0 {
		v.Worker = d.text()
	}
	if mask>>6 != 0 {
		d.restOf(v, mask)
	}
}

func (d *Decoder) restOf(v *Event, mask uint64) {
	if mask&hasQueue != 0 {
		v.Queue = d.text()
	}
	if mask&hasKind != 0 {
		v.Kind = d.text()
	}
	if mask&hasAttempt != 0 {
		v.Attempt = uint32(d.number())
	}
	if mask&hasCause != 0 {
		v.Cause = fsm.Cause(d.byte())
	}
	if mask&hasGeneration != 0 {
		v.Generation = uint32(d.number())
	}
	if mask&hasError != 0 {
		v.Error = d.text()
	}
	if mask&hasReason != 0 {
		v.Reason = d.text()
	}
	if mask&hasBatch != 0 {
		v.Batch = d.number()
	}
	if mask&hasSchedule != 0 {
		v.Schedule = d.text()
	}
	if mask&hasOutcome != 0 {
		v.Outcome = fsm.Outcome(d.byte())
	}
	if mask&hasMember != 0 {
		v.Member = d.text()
	}
	if mask&hasNumber != 0 {
		v.Number = d.number()
	}
	if mask&hasCount != 0 {
		v.Count = d.number()
	}
	if mask&hasDetail != 0 {
		v.Detail = d.text()
	}
	if mask&hasBroadcast != 0 {
		v.Broadcast = d.number()
	}
}

func (d *Decoder) byte() byte {
	if len(d.record) == 0 {
		d.bad = true
		return 0
	}
	b := d.record[0]
	d.record = d.record[1:]
	return b
}

func (d *Decoder) number() uint64 {
	n, size := binary.Uvarint(d.record)
	if size <= 0 {
		d.bad, d.record = true, nil
		return 0
	}
	d.record = d.record[size:]
	return n
}

func (d *Decoder) signed() int64 {
	n, size := binary.Varint(d.record)
	if size <= 0 {
		d.bad, d.record = true, nil
		return 0
	}
	d.record = d.record[size:]
	return n
}

func (d *Decoder) text() string {
	n := d.number()
	if n > uint64(len(d.record)) {
		d.bad, d.record = true, nil
		return ""
	}
	s := string(d.record[:n])
	d.record = d.record[n:]
	return s
}
