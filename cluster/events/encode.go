package events

import "encoding/binary"

// A record holds the events of one entry:
//
//	index, term, now, then for each event:
//	type, mask of the fields that differ from the event before, those fields
//
// Numbers are varints, strings have their length before them; task, fence and session
// are signed differences. In an entry of many like events, one takes five bytes.
//
// A field is appended to the mask, never moved, and raises segmentVersion: who cannot
// read a segment forgets it.

// The bits of the mask, in the order of the fields behind it.
const (
	hasTask = 1 << iota
	hasFence
	hasState
	hasPrincipal
	hasSession
	hasWorker
	hasQueue
	hasKind
	hasAttempt
	hasCause
	hasGeneration
	hasError
	hasReason
	hasBatch
	hasSchedule
	hasOutcome
	hasMember
	hasNumber
	hasCount
	hasDetail
	hasBroadcast
	hasEnd
)

// Encoder makes records. Its memory is used again for the next record.
type Encoder struct {
	buf   []byte
	pair  [2]Event // the present event and the one before, by turns
	turn  int
	count int
}

// Begin begins the record of an entry.
func (e *Encoder) Begin(index, term uint64, now int64) {
	e.buf = binary.AppendUvarint(e.buf[:0], index)
	e.buf = binary.AppendUvarint(e.buf, term)
	e.buf = binary.AppendUvarint(e.buf, uint64(now))
	e.pair[e.turn] = Event{}
	e.count = 0
}

// Next returns an empty event to fill in, which Add then adds.
func (e *Encoder) Next() *Event {
	v := &e.pair[1-e.turn]
	*v = Event{}
	return v
}

// Add adds the event that Next returned.
func (e *Encoder) Add() {
	last := &e.pair[e.turn]
	e.turn = 1 - e.turn
	e.buf = appendEvent(e.buf, &e.pair[e.turn], last)
	e.count++
}

// Record returns the record and how many events it has, valid until Begin.
func (e *Encoder) Record() (record []byte, events int) { return e.buf, e.count }

func appendEvent(b []byte, v, last *Event) []byte {
	mask := differences(v, last)
	b = append(b, byte(v.Type))
	b = binary.AppendUvarint(b, mask)
	if mask&hasTask != 0 {
		b = binary.AppendVarint(b, int64(v.Task-last.Task))
	}
	if mask&hasFence != 0 {
		b = binary.AppendVarint(b, int64(v.Fence-last.Fence))
	}
	if mask&hasState != 0 {
		b = append(b, byte(v.State))
	}
	if mask&hasPrincipal != 0 {
		b = appendText(b, v.Principal)
	}
	if mask&hasSession != 0 {
		b = binary.AppendVarint(b, int64(v.Session-last.Session))
	}
	if mask&hasWorker != 0 {
		b = appendText(b, v.Worker)
	}
	if mask>>6 != 0 { // rarely within a record
		b = appendRest(b, mask, v)
	}
	return b
}

func appendRest(b []byte, mask uint64, v *Event) []byte {
	if mask&hasQueue != 0 {
		b = appendText(b, v.Queue)
	}
	if mask&hasKind != 0 {
		b = appendText(b, v.Kind)
	}
	if mask&hasAttempt != 0 {
		b = binary.AppendUvarint(b, uint64(v.Attempt))
	}
	if mask&hasCause != 0 {
		b = append(b, byte(v.Cause))
	}
	if mask&hasGeneration != 0 {
		b = binary.AppendUvarint(b, uint64(v.Generation))
	}
	if mask&hasError != 0 {
		b = appendText(b, v.Error)
	}
	if mask&hasReason != 0 {
		b = appendText(b, v.Reason)
	}
	if mask&hasBatch != 0 {
		b = binary.AppendUvarint(b, v.Batch)
	}
	if mask&hasSchedule != 0 {
		b = appendText(b, v.Schedule)
	}
	if mask&hasOutcome != 0 {
		b = append(b, byte(v.Outcome))
	}
	if mask&hasMember != 0 {
		b = appendText(b, v.Member)
	}
	if mask&hasNumber != 0 {
		b = binary.AppendUvarint(b, v.Number)
	}
	if mask&hasCount != 0 {
		b = binary.AppendUvarint(b, v.Count)
	}
	if mask&hasDetail != 0 {
		b = appendText(b, v.Detail)
	}
	if mask&hasBroadcast != 0 {
		b = binary.AppendUvarint(b, v.Broadcast)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// differences returns the mask of the fields that two events do not have in common.
func differences(v, last *Event) (mask uint64) {
	if v.Task != last.Task {
		mask |= hasTask
	}
	if v.Fence != last.Fence {
		mask |= hasFence
	}
	if v.State != last.State {
		mask |= hasState
	}
	if v.Principal != last.Principal {
		mask |= hasPrincipal
	}
	if v.Session != last.Session {
		mask |= hasSession
	}
	if v.Worker != last.Worker {
		mask |= hasWorker
	}
	if v.Queue != last.Queue {
		mask |= hasQueue
	}
	if v.Kind != last.Kind {
		mask |= hasKind
	}
	if v.Attempt != last.Attempt {
		mask |= hasAttempt
	}
	if v.Cause != last.Cause {
		mask |= hasCause
	}
	if v.Generation != last.Generation {
		mask |= hasGeneration
	}
	return mask | rareDifferences(v, last)
}

func rareDifferences(v, last *Event) (mask uint64) {
	if v.Error != last.Error {
		mask |= hasError
	}
	if v.Reason != last.Reason {
		mask |= hasReason
	}
	if v.Batch != last.Batch {
		mask |= hasBatch
	}
	if v.Schedule != last.Schedule {
		mask |= hasSchedule
	}
	if v.Outcome != last.Outcome {
		mask |= hasOutcome
	}
	if v.Member != last.Member {
		mask |= hasMember
	}
	if v.Number != last.Number {
		mask |= hasNumber
	}
	if v.Count != last.Count {
		mask |= hasCount
	}
	if v.Detail != last.Detail {
		mask |= hasDetail
	}
	if v.Broadcast != last.Broadcast {
		mask |= hasBroadcast
	}
	return mask
}
