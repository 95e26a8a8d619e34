package events

import "encoding/binary"

// chunkBytes is how much a chunk in memory, and so a block on disk, holds of records,
// unless a single record is larger.
const chunkBytes = 64 << 10

// chunk is a run of records in memory. It covers the entries from and to, and all
// between them: those without a record had no events. What is in data stays as it is;
// readers keep slices of it.
type chunk struct {
	from, to uint64
	events   int
	data     []byte
}

// newChunk returns an empty chunk that begins behind entry last.
func newChunk(last uint64) *chunk {
	return &chunk{from: last + 1, to: last, data: make([]byte, 0, chunkBytes+chunkBytes/16)}
}

func (c *chunk) add(index uint64, record []byte, events int) {
	c.data = append(binary.AppendUvarint(c.data, uint64(len(record))), record...)
	c.to = index
	c.events += events
}

// skipTo returns where in records those of entry index and later begin.
func skipTo(records []byte, index uint64) int {
	rest := records
	for len(rest) > 0 {
		record, after, ok := cutRecord(rest)
		if !ok || recordIndex(record) >= index {
			break
		}
		rest = after
	}
	return len(records) - len(rest)
}
