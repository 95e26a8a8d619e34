package cluster

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/taskraft/taskraft/fsm"
)

// Digest returns SHA-256 of the canonical snapshot and its index. Masters with
// the same index have the same digest (C1). It reads the whole table, beside the
// work that goes on.
func (n *Node) Digest(ctx context.Context) (index uint64, sum [32]byte, err error) {
	n.table.mu.Lock()
	s := n.table.m.Snapshot()
	n.table.mu.Unlock()
	h := sha256.New()
	w := bufio.NewWriterSize(ctxWriter{ctx, h}, 64<<10)
	if _, err := s.WriteTo(w); err != nil {
		return 0, sum, fmt.Errorf("digest the table: %w", err)
	}
	if err := w.Flush(); err != nil {
		return 0, sum, fmt.Errorf("digest the table: %w", err)
	}
	index, _ = s.Position()
	return index, [32]byte(h.Sum(nil)), nil
}

// HashGoneError says that a master knows its hashes only from a later entry on.
type HashGoneError struct{ Index, Oldest uint64 }

func (e *HashGoneError) Error() string {
	return fmt.Sprintf("the state hash after entry %d is not known any more: the oldest known is after entry %d", e.Index, e.Oldest)
}

// StateHash returns the hash of the table after the entry at index, once that is
// applied; index 0 is the last one that is. It is equal on all masters of one version
// (C1). A master knows the hashes of its last entries only ([HashGoneError]).
func (n *Node) StateHash(ctx context.Context, index uint64) (at, hash uint64, err error) {
	p, err := n.Read(ctx, ReadOptions{Level: Stale, MinIndex: index}, func(*fsm.Machine) {})
	if err != nil {
		return 0, 0, fmt.Errorf("wait for entry %d: %w", index, err)
	}
	if index == 0 {
		index = p.Index
	}
	m, oldest := n.applier.hashes.until(index)
	if m.Index == 0 {
		return 0, 0, &HashGoneError{index, oldest}
	}
	return index, m.Hash, nil
}

// ctxWriter ends a long write with its context.
type ctxWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c ctxWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}
