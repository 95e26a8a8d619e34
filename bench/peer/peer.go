package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// System is one task system for one measurement.
type System interface {
	// Start starts the servers with their data under dir, which is empty, and
	// returns when they take tasks. Stop must be called also when it fails.
	Start(ctx context.Context, dir string) error
	// Stop ends every process and connection of the system.
	Stop() error
	// PIDs returns the servers' process ids; their children count as theirs.
	PIDs() []int
	// Producer returns a new producer for one goroutine.
	Producer(ctx context.Context) (Producer, error)
	// Consume executes tasks until ctx ends, and returns when no handler runs.
	Consume(ctx context.Context, w Work) error
}

// Producer submits tasks, one call at a time.
type Producer interface {
	// Submit returns when all payloads are accepted as durably as the system is
	// set to. Only a Batched setup gives more than one.
	Submit(ctx context.Context, payloads [][]byte) error
	Close() error
}

// Work is what consumers do. Both functions are safe for concurrent use.
type Work struct {
	// Handle is the task's execution.
	Handle func(payload []byte)
	// Confirmed is called when the completion is recorded as far as the system's
	// client can tell. key is unique to the task.
	Confirmed func(key uint64)
}

// Killer is a System that survives the loss of the server that leads.
type Killer interface {
	// KillLeader ends the leading server with SIGKILL. revive starts it again and
	// returns when it has caught up.
	KillLeader(ctx context.Context) (revive func(context.Context) error, err error)
}

// Counter is a System whose client does not learn when a completion is recorded:
// the servers' own count is the measure.
type Counter interface {
	// Completed returns how many completions were recorded since Start.
	Completed(ctx context.Context) (uint64, error)
}

// Setup says what a System is wanted for.
type Setup struct {
	Way       string // one of the Spec's ways
	Producers int
	Batch     int // payloads of one Submit at most
	Slots     int // tasks that execute at once
	Failover  bool
	Taskraft  string // path of the taskraft binary
}

// Batched reports whether several tasks go into one call.
func (s Setup) Batched() bool { return s.Batch > 1 }

// ErrUnavailable is in the error of a Start that lacks a program of the peer.
var ErrUnavailable = errors.New("not installed")

// A payload begins with a stamp: when its submit began, and its number.
const stampBytes = 16

// Stamp writes a stamp into a payload of at least 16 bytes.
func Stamp(payload []byte, at time.Duration, number uint64) {
	binary.LittleEndian.PutUint64(payload, uint64(at))
	binary.LittleEndian.PutUint64(payload[8:], number)
}

// ReadStamp returns what Stamp wrote, zeros if payload is too short for a stamp.
func ReadStamp(payload []byte) (at time.Duration, number uint64) {
	if len(payload) < stampBytes {
		return 0, 0
	}
	return time.Duration(binary.LittleEndian.Uint64(payload)), binary.LittleEndian.Uint64(payload[8:])
}

// number returns a payload's number as the key of its task.
func number(payload []byte) uint64 {
	_, n := ReadStamp(payload)
	return n
}

func single(payloads [][]byte) ([]byte, error) {
	if len(payloads) != 1 {
		return nil, fmt.Errorf("submit one task per call: got %d", len(payloads))
	}
	return payloads[0], nil
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
