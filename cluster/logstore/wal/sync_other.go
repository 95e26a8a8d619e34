//go:build !linux

package wal

import "os"

// datasync makes what was written to the file durable.
func datasync(f *os.File) error { return f.Sync() }

// allocate gives the file its size.
func allocate(f *os.File, size int64) error { return f.Truncate(size) }
