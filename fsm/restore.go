package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Restore reads a snapshot into a new table. On any error the result is nil.
// ErrNewer: a newer version wrote it. ErrCorrupt: it is not whole, or not what
// any table writes. Other errors are the reader's. Memory stays in proportion to
// what r really holds, whatever its lengths claim.
func Restore(r io.Reader) (*Machine, error) {
	head := make([]byte, len(snapshotMagic)+2)
	if err := readFull(r, head); err != nil {
		return nil, err
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		return nil, fmt.Errorf("snapshot magic: %w", ErrCorrupt)
	}
	switch v := binary.BigEndian.Uint16(head[len(snapshotMagic):]); {
	case v > snapshotVersion:
		return nil, fmt.Errorf("snapshot version %d: %w", v, ErrNewer)
	case v == 0:
		return nil, fmt.Errorf("snapshot version 0: %w", ErrCorrupt)
	}
	l := newLoader()
	var b bytes.Buffer
	for {
		payload, end, err := readBlock(r, &b)
		switch {
		case err != nil:
			return nil, err
		case !end:
			err = l.block(payload)
		default:
			err = l.end(payload, r)
		}
		if err != nil {
			return nil, err
		}
		if end {
			return l.m, nil
		}
	}
}

// readBlock returns the payload of the next block, or the trailer's counts; it is
// in b until the next call.
func readBlock(r io.Reader, b *bytes.Buffer) (payload []byte, end bool, err error) {
	var head [8]byte
	if err := readFull(r, head[:]); err != nil {
		return nil, false, err
	}
	n, sum := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:])
	end = n == 0
	if end {
		n = 8 * uint32(recordKinds)
	}
	if n > maxBlock {
		return nil, false, fmt.Errorf("snapshot block of %d bytes: %w", n, ErrCorrupt)
	}
	b.Reset() // it grows with what arrives, not with what n claims
	if _, err := io.CopyN(b, r, int64(n)); err != nil {
		return nil, false, short(err)
	}
	if crc32.Checksum(b.Bytes(), castagnoli) != sum {
		return nil, false, fmt.Errorf("snapshot block checksum: %w", ErrCorrupt)
	}
	return b.Bytes(), end, nil
}

func readFull(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	return short(err)
}

// short turns an early end into ErrCorrupt.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("snapshot ends early: %w", ErrCorrupt)
	}
	return err
}
