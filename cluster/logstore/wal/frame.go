package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/hashicorp/raft"
)

// ErrDamaged is returned for files that are not what this package wrote.
var ErrDamaged = errors.New("damaged: remove this member and re-add it with --rejoin")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The kinds of frames.
const (
	kindBatch     = iota + 1 // entries
	kindDropBack             // payload: the first index that is gone
	kindDropFront            // payload: the last index that is gone
	kindMark                 // nothing: what is before was durable
	kindSeal                 // nothing: another segment follows
	lastKind      = kindSeal
)

const (
	frameHead = 16
	batchHead = 8 + 4
	entryHead = 8 + 8 + 4 + 4 + 1
	pad       = 8
)

// frame is where a frame stands and what it holds.
type frame struct {
	at      int64 // in the file
	kind    uint32
	payload []byte
}

// frameSize returns the size in the file of a frame with n bytes of payload.
func frameSize(n int) int64 { return (frameHead + int64(n) + pad - 1) / pad * pad }

// tag binds a frame to its segment and its place in it.
func tag(salt uint32, at int64) uint32 { return salt ^ uint32(at/pad) }

// begin returns b with room for a frame's header.
func begin(b []byte) []byte { return append(b[:0], make([]byte, frameHead)...) }

// finish fills in the header of the frame b and pads it.
func finish(b []byte, kind, salt uint32, at int64) []byte {
	binary.LittleEndian.PutUint32(b[0:], uint32(len(b)-frameHead))
	binary.LittleEndian.PutUint32(b[4:], kind)
	binary.LittleEndian.PutUint32(b[8:], tag(salt, at))
	binary.LittleEndian.PutUint32(b[12:], frameSum(b[:12], b[frameHead:]))
	for len(b)%pad != 0 {
		b = append(b, 0)
	}
	return b
}

func frameSum(head, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, payload)
}

// appendBatch appends a batch's payload to b.
func appendBatch(b []byte, logs []*raft.Log) []byte {
	b = binary.LittleEndian.AppendUint64(b, logs[0].Index)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(logs)))
	for _, l := range logs {
		b = appendEntry(b, l)
	}
	return b
}

func batchSize(logs []*raft.Log) int {
	n := batchHead
	for _, l := range logs {
		n += entryHead + len(l.Extensions) + len(l.Data)
	}
	return n
}

// noTime stands for the zero time.Time.
const noTime = math.MinInt64

func appendEntry(b []byte, l *raft.Log) []byte {
	at := int64(noTime)
	if !l.AppendedAt.IsZero() {
		at = l.AppendedAt.UnixNano()
	}
	b = binary.LittleEndian.AppendUint64(b, l.Term)
	b = binary.LittleEndian.AppendUint64(b, uint64(at))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(l.Data)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(l.Extensions)))
	b = append(b, byte(l.Type))
	b = append(b, l.Extensions...)
	return append(b, l.Data...)
}

// entryLen returns the length of the entry that begins with head.
func entryLen(head []byte) int64 {
	return entryHead + int64(binary.LittleEndian.Uint32(head[16:])) + int64(binary.LittleEndian.Uint32(head[20:]))
}

// decodeEntry makes out the entry that b begins with; out's slices alias b.
func decodeEntry(b []byte, index uint64, out *raft.Log) error {
	if len(b) < entryHead || int64(len(b)) < entryLen(b) {
		return fmt.Errorf("entry %d is cut off: %w", index, ErrDamaged)
	}
	data, ext := int(binary.LittleEndian.Uint32(b[16:])), int(binary.LittleEndian.Uint32(b[20:]))
	*out = raft.Log{
		Index: index, Term: binary.LittleEndian.Uint64(b), Type: raft.LogType(b[24]),
		Extensions: b[entryHead : entryHead+ext : entryHead+ext],
		Data:       b[entryHead+ext : entryHead+ext+data : entryHead+ext+data],
	}
	if at := int64(binary.LittleEndian.Uint64(b[8:])); at != noTime {
		out.AppendedAt = time.Unix(0, at).UTC()
	}
	return nil
}

// walkBatch calls visit for each entry of a batch, with its offset in the payload.
func walkBatch(payload []byte, visit func(l *raft.Log, offset int) error) error {
	if len(payload) < batchHead {
		return fmt.Errorf("batch of %d bytes: %w", len(payload), ErrDamaged)
	}
	index, n := binary.LittleEndian.Uint64(payload), binary.LittleEndian.Uint32(payload[8:])
	at := batchHead
	var l raft.Log
	for range n {
		if err := decodeEntry(payload[at:], index, &l); err != nil {
			return err
		}
		if err := visit(&l, at); err != nil {
			return err
		}
		at += entryHead + len(l.Extensions) + len(l.Data)
		index++
	}
	if at != len(payload) {
		return fmt.Errorf("batch with %d bytes too many: %w", len(payload)-at, ErrDamaged)
	}
	return nil
}
