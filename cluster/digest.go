package cluster

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
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
