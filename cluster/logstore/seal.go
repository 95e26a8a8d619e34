package logstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/mutant"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// An entry's seal is the last sealSize bytes of its Extensions: sealMark, then
// the CRC32C (big-endian) of index, term, type, the length and bytes of what
// other middleware put before the seal, and data. Raft replicates Extensions
// with the entry, so the CRC made by the leader is the one that each follower
// checks: damage in memory or on the way is seen too, not only on disk.
const sealSize = 8

var sealMark = [4]byte{'t', 'k', 'c', '1'}

var errNoSeal = errors.New("no checksum")

// splitSeal returns the middleware's part of the extensions and the CRC.
func splitSeal(ext []byte) (rest []byte, crc uint32, ok bool) {
	n := len(ext) - sealSize
	if n < 0 || !bytes.Equal(ext[n:n+4], sealMark[:]) {
		return ext, 0, false
	}
	return ext[:n], binary.BigEndian.Uint32(ext[n+4:]), true
}

// checksum computes an entry's CRC; rest is its extensions without the seal.
func checksum(l *raft.Log, rest []byte) uint32 {
	var head [8 + 8 + 1 + 4]byte
	binary.BigEndian.PutUint64(head[0:], l.Index)
	binary.BigEndian.PutUint64(head[8:], l.Term)
	head[16] = byte(l.Type)
	binary.BigEndian.PutUint32(head[17:], uint32(len(rest)))
	crc := crc32.Update(0, castagnoli, head[:])
	crc = crc32.Update(crc, castagnoli, rest)
	return crc32.Update(crc, castagnoli, l.Data)
}

// seal appends the entry's seal to its extensions, in the 8 bytes of buf when
// there are no others.
func seal(l *raft.Log, buf []byte) {
	crc := checksum(l, l.Extensions)
	ext := buf[:0:sealSize]
	if len(l.Extensions) > 0 {
		ext = slices.Clone(l.Extensions)
	}
	ext = append(ext, sealMark[:]...)
	l.Extensions = binary.BigEndian.AppendUint32(ext, crc)
}

// checkSeal reports whether the entry is what was sealed.
func checkSeal(l *raft.Log) error {
	rest, stored, ok := splitSeal(l.Extensions)
	if !ok {
		return fmt.Errorf("entry %d: %w", l.Index, errNoSeal)
	}
	if computed := checksum(l, rest); computed != stored && !mutant.On("M21") {
		return fmt.Errorf("entry %d checksum mismatch (stored %08x, computed %08x)", l.Index, stored, computed)
	}
	return nil
}

// sealValue appends a stable value's CRC32C, which also covers its key.
func sealValue(key, value []byte) []byte {
	out := make([]byte, 0, len(value)+4)
	out = append(out, value...)
	return binary.BigEndian.AppendUint32(out, valueChecksum(key, value))
}

func valueChecksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// openValue returns a stable value without its CRC.
func openValue(key, sealed []byte) ([]byte, error) {
	n := len(sealed) - 4
	if n < 0 {
		return nil, fmt.Errorf("stable value %q: %w", key, errNoSeal)
	}
	value, stored := sealed[:n], binary.BigEndian.Uint32(sealed[n:])
	if computed := valueChecksum(key, value); computed != stored {
		return nil, fmt.Errorf("stable value %q checksum mismatch (stored %08x, computed %08x)", key, stored, computed)
	}
	return value, nil
}
