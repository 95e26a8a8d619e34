package transport

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// MaxCall is the largest encoded argument or reply of a call, in bytes.
const MaxCall = 1 << 20

// The types of a frame after the handshake. Layout: length of the rest (4 bytes,
// big-endian), type (1), call number (8), then what the type says.
const (
	frameCall    = iota + 1 // budget in ms (4, 0 = none), length of the method (1), method, arguments
	frameReply              // reply
	frameError              // message
	frameUnknown            // message; there is no such method for this caller
	frameExpired            // nothing; the budget was used up
)

const (
	frameHead = 4 + 1 + 8
	maxFrame  = frameHead + 4 + 1 + maxField + MaxCall
)

var errFrame = errors.New("malformed frame")

// frame is one message on a peer or identify connection.
type frame struct {
	kind   uint8
	call   uint64
	budget time.Duration // frameCall: what is left of the caller's time, 0 = no limit
	method string        // frameCall
	body   []byte
}

// encode returns the frame's bytes, to be written at once.
func (f frame) encode() ([]byte, error) {
	if len(f.body) > MaxCall || len(f.method) > maxField {
		return nil, fmt.Errorf("message of %d bytes, at most %d are allowed", len(f.body), MaxCall)
	}
	b := make([]byte, frameHead, frameHead+5+len(f.method)+len(f.body))
	b[4] = f.kind
	binary.BigEndian.PutUint64(b[5:], f.call)
	if f.kind == frameCall {
		ms := min(f.budget.Milliseconds(), 1<<31)
		if f.budget > 0 && ms == 0 {
			ms = 1
		}
		b = binary.BigEndian.AppendUint32(b, uint32(ms))
		b = append(b, byte(len(f.method)))
		b = append(b, f.method...)
	}
	b = append(b, f.body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b, nil
}

func readCallFrame(r *bufio.Reader) (frame, error) {
	var f frame
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return f, err
	}
	n := int(binary.BigEndian.Uint32(head[:])) - (frameHead - 4)
	if n < 0 || n > maxFrame-frameHead {
		return f, errFrame
	}
	f.kind, f.call = head[4], binary.BigEndian.Uint64(head[5:])
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return f, err
	}
	switch f.kind {
	case frameCall:
		if len(b) < 5 || len(b) < 5+int(b[4]) {
			return f, errFrame
		}
		f.budget = time.Duration(binary.BigEndian.Uint32(b)) * time.Millisecond
		f.method, b = string(b[5:5+int(b[4])]), b[5+int(b[4]):]
	case frameReply, frameError, frameUnknown, frameExpired:
	default:
		return f, errFrame
	}
	f.body = b
	return f, nil
}
