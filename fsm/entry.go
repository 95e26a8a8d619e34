package fsm

import (
	"errors"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Format is the version of the entry header and Level the newest feature level
// that this binary understands.
const (
	Format = 1
	Level  = 1
)

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
	Now   int64  // the table's clock, Unix nanoseconds
}

// Entry is one log entry: a header and the commands in the order of §2.1:
// session changes, worker verbs, tick, submit and the rest, assign.
type Entry struct {
	Header
	Commands []*fsmpb.Command
}

// EncodeEntry appends the entry's bytes to dst.
func EncodeEntry(dst []byte, e *Entry) ([]byte, error) { panic("unimplemented") }

// DecodeEntry reads an entry. It refuses unknown formats, levels, kinds, enum
// values and fields with ErrNewer, anything else with ErrCorrupt.
func DecodeEntry(b []byte) (*Entry, error) { panic("unimplemented") }
