package wal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/taskraft/taskraft/cluster/mutant"
)

// frameReader reads the frames of a segment until one does not check.
type frameReader struct {
	in   *bufio.Reader
	file io.ReaderAt
	at   int64
	size int64
	salt uint32
	buf  []byte
}

// next returns the next sound frame; its payload is valid until the next call.
func (r *frameReader) next() (frame, bool, error) {
	head, err := r.in.Peek(frameHead)
	if errors.Is(err, io.EOF) {
		return frame{}, false, nil
	}
	if err != nil {
		return frame{}, false, fmt.Errorf("read byte %d: %w", r.at, err)
	}
	n, ok := plausible(head, r.salt, r.at, r.size)
	if !ok {
		return frame{}, false, nil
	}
	whole := int(frameSize(n))
	if cap(r.buf) < whole {
		r.buf = make([]byte, whole)
	}
	b := r.buf[:whole]
	if _, err := io.ReadFull(r.in, b); err != nil {
		return frame{}, false, fmt.Errorf("read byte %d: %w", r.at, err)
	}
	if !sound(b, n) {
		return frame{}, false, nil
	}
	fr := frame{at: r.at, kind: binary.LittleEndian.Uint32(b[4:]), payload: b[frameHead : frameHead+n]}
	r.at += int64(whole)
	return fr, true, nil
}

// plausible reports whether b begins with the header of a frame of this place,
// and the length of its payload.
func plausible(b []byte, salt uint32, at, size int64) (int, bool) {
	n := int64(binary.LittleEndian.Uint32(b))
	kind := binary.LittleEndian.Uint32(b[4:])
	if kind == 0 || kind > lastKind || binary.LittleEndian.Uint32(b[8:]) != tag(salt, at) || frameSize(int(n)) > size-at {
		return 0, false
	}
	return int(n), true
}

// sound checks a whole frame with n bytes of payload, its padding included.
func sound(b []byte, n int) bool {
	for _, c := range b[frameHead+n:] {
		if c != 0 {
			return false
		}
	}
	return binary.LittleEndian.Uint32(b[12:]) == frameSum(b[:12], b[frameHead:frameHead+n]) || mutant.On("M21")
}

// scanner looks at what is behind the last sound frame.
type scanner struct {
	file io.ReaderAt
	at   int64
	size int64
	salt uint32
}

// run returns where a sound frame begins, and where a frame would end that was
// begun at the end of the log (both 0: there is none).
func (sc *scanner) run() (soundAt, tornEnd int64, err error) {
	const window = 1 << 20
	buf := make([]byte, window+frameHead)
	for at := sc.at; at+frameHead <= sc.size; at += window {
		n, err := sc.file.ReadAt(buf[:min(int64(len(buf)), sc.size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, 0, fmt.Errorf("read byte %d: %w", at, err)
		}
		for i := 0; i+frameHead <= n && i < window; i += pad {
			place := at + int64(i)
			length, ok := plausible(buf[i:], sc.salt, place, sc.size)
			if !ok {
				continue
			}
			whole := make([]byte, frameSize(length))
			if _, err := sc.file.ReadAt(whole, place); err != nil {
				return 0, 0, fmt.Errorf("read byte %d: %w", place, err)
			}
			if sound(whole, length) {
				return place, tornEnd, nil
			}
			if place == sc.at {
				tornEnd = place + frameSize(length)
			}
		}
	}
	return 0, tornEnd, nil
}
