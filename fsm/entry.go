package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Format is the version of the entry header. Level, the newest feature level that
// this binary understands, is in level.go.
const Format = 1

// headerSize is the length of the encoded Header; frozen.
const headerSize = 1 + 2 + 8 + 8

// ErrNewer is returned for an entry or snapshot that a newer version wrote: the
// node must stop before applying it ("upgrade this node").
var ErrNewer = errors.New("written by a newer version: upgrade this node")

// ErrCorrupt is returned for bytes that no version wrote.
var ErrCorrupt = errors.New("corrupt")

// Header opens every entry. Its encoding is frozen: 1 byte format, 2 bytes
// feature level, 8 bytes term, 8 bytes now, all big-endian.
type Header struct {
	Level uint16
	Term  uint64 // the proposer's term; another raft term makes the entry a no-op
	Now   int64  // the table's clock, Unix nanoseconds, > 0
}

// Entry is one log entry: a header and the commands in the order of §2.1:
// session changes, worker verbs, tick, submit and the rest, assign.
type Entry struct {
	Header
	Commands []*fsmpb.Command
}

// EncodeEntry appends the entry's bytes to dst. Equal entries give equal bytes.
// It fails on a command without a kind and on an entry above MaxEntry: what it
// returns, DecodeEntry accepts.
func EncodeEntry(dst []byte, e *Entry) ([]byte, error) {
	for i, c := range e.Commands {
		if c.GetKind() == nil {
			return nil, fmt.Errorf("encode command %d: no kind", i)
		}
	}
	start := len(dst)
	dst = append(dst, Format)
	dst = binary.BigEndian.AppendUint16(dst, e.Level)
	dst = binary.BigEndian.AppendUint64(dst, e.Term)
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.Now))
	dst, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(dst, &fsmpb.Commands{Commands: e.Commands})
	if err != nil {
		return nil, fmt.Errorf("encode entry: %w", err)
	}
	if n := len(dst) - start; n > MaxEntry {
		return nil, fmt.Errorf("encode entry: %d bytes, limit %d", n, MaxEntry)
	}
	return dst, nil
}

// DecodeEntry reads an entry. It refuses unknown formats, levels, kinds, enum
// values and fields with ErrNewer, anything else with ErrCorrupt. The entry does
// not alias b.
func DecodeEntry(b []byte) (*Entry, error) { return new(Decoder).Entry(b) }

// Entry reads an entry as DecodeEntry does; it is valid until Reset.
func (d *Decoder) Entry(b []byte) (*Entry, error) {
	if len(b) == 0 || b[0] == 0 {
		return nil, fmt.Errorf("entry of %d bytes: %w", len(b), ErrCorrupt)
	}
	if b[0] > Format {
		return nil, fmt.Errorf("entry format %d: %w", b[0], ErrNewer)
	}
	if len(b) < headerSize || len(b) > MaxEntry {
		return nil, fmt.Errorf("entry of %d bytes: %w", len(b), ErrCorrupt)
	}
	e := &Entry{Header: Header{
		Level: binary.BigEndian.Uint16(b[1:]),
		Term:  binary.BigEndian.Uint64(b[3:]),
		Now:   int64(binary.BigEndian.Uint64(b[11:])),
	}}
	if e.Level > Level {
		return nil, fmt.Errorf("entry of feature level %d: %w", e.Level, ErrNewer)
	}
	if e.Level == 0 || e.Now <= 0 { // a time of zero means none
		return nil, fmt.Errorf("entry header: %w", ErrCorrupt)
	}
	cmds, err := d.commands(b[headerSize:])
	if err != nil {
		return nil, err
	}
	e.Commands = cmds
	return e, nil
}
