package wal

import (
	"encoding/binary"
	"fmt"

	"github.com/hashicorp/raft"
)

// AppendEntries appends entries with contiguous indexes, at least one, and the
// term of the entry before them, in the encoding of a batch.
func AppendEntries(b []byte, prev uint64, logs []*raft.Log) []byte {
	return appendBatch(binary.LittleEndian.AppendUint64(b, prev), logs)
}

// DecodeEntries is its inverse; the entries alias b.
func DecodeEntries(b []byte) (prev uint64, logs []*raft.Log, err error) {
	if len(b) < 8 {
		return 0, nil, fmt.Errorf("entries of %d bytes: %w", len(b), ErrDamaged)
	}
	prev = binary.LittleEndian.Uint64(b)
	err = walkBatch(b[8:], func(l *raft.Log, _ int) error {
		own := *l
		logs = append(logs, &own)
		return nil
	})
	if err == nil && len(logs) == 0 {
		err = fmt.Errorf("no entries: %w", ErrDamaged)
	}
	return prev, logs, err
}
