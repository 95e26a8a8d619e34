package logstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"
)

// found is what the check of a file saw.
type found struct {
	span                 span
	fileBytes, usedBytes int64
	stable               map[string][]byte // the stable values, without their CRC
}

// inspect reads the whole file once, entry by entry, and checks it: structure,
// contiguous indexes, a CRC per entry and per stable value.
func inspect(path string) (*found, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, diskError(path, "open log store: %w", err)
	}
	defer f.Close()
	// bbolt holds this lock while it has the file open for writing.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, diskError(path, "the log store is in use by another process: stop it, or give this master its own --data-dir")
		}
		return nil, diskError(path, "lock log store: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, diskError(path, "open log store: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, diskError(path, "the log store is not a file: choose another --data-dir")
	}
	in := inspector{found: found{fileBytes: info.Size(), stable: map[string][]byte{}}}
	in.entries = codec.NewDecoderBytes(nil, &codec.MsgpackHandle{})
	if err := protect(func() error { return in.run(f) }); err != nil {
		return nil, diskError(path, "check log store: %w", err)
	}
	return &in.found, nil
}

type inspector struct {
	found
	entries *codec.Decoder
	log     raft.Log // decoded into again and again
}

func (in *inspector) run(f *os.File) error {
	p, err := openPages(f, in.fileBytes)
	if err != nil {
		return err
	}
	buckets := 0
	err = p.walk(p.root, 0, nil, nil, func(key, value []byte, isBucket bool) error {
		buckets++
		switch {
		case isBucket && string(key) == "logs":
			return p.bucket(value, in.entry)
		case isBucket && string(key) == "conf":
			return p.bucket(value, in.stableValue)
		default:
			return fmt.Errorf("unexpected bucket %q: %w", key, errDamaged)
		}
	})
	if err != nil {
		return err
	}
	if buckets != 2 {
		return fmt.Errorf("%d buckets, want logs and conf: %w", buckets, errDamaged)
	}
	in.usedBytes = p.usedBytes()
	return nil
}

// entry checks one element of the logs bucket.
func (in *inspector) entry(key, value []byte, bucket bool) error {
	if bucket || len(key) != 8 {
		return fmt.Errorf("unexpected key %x among the entries: %w", key, errDamaged)
	}
	index := binary.BigEndian.Uint64(key)
	if !in.span.empty() && index != in.span.last()+1 {
		return fmt.Errorf("entry %d is missing, after %d comes %d: %w", in.span.last()+1, in.span.last(), index, errDamaged)
	}
	if index == 0 {
		return fmt.Errorf("entry 0: %w", errDamaged)
	}
	in.log = raft.Log{Data: in.log.Data[:0], Extensions: in.log.Extensions[:0]}
	in.entries.ResetBytes(value)
	if err := in.entries.Decode(&in.log); err != nil {
		return fmt.Errorf("entry %d cannot be decoded: %w: %w", index, err, errDamaged)
	}
	if in.log.Index != index {
		return fmt.Errorf("entry %d says it is entry %d: %w", index, in.log.Index, errDamaged)
	}
	if err := checkSeal(&in.log); err != nil {
		return fmt.Errorf("%w: %w", err, errDamaged)
	}
	in.span.add(index, entrySize(&in.log))
	return nil
}

// stableValue checks one element of the conf bucket.
func (in *inspector) stableValue(key, value []byte, bucket bool) error {
	if bucket {
		return fmt.Errorf("unexpected bucket %q among the stable values: %w", key, errDamaged)
	}
	v, err := openStable(key, value)
	if err != nil {
		return fmt.Errorf("%w: %w", err, errDamaged)
	}
	in.stable[string(key)] = bytes.Clone(v)
	return nil
}
