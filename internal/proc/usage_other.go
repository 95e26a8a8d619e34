//go:build !linux

package proc

// Usage is only known on Linux.
func (p *Process) Usage() Usage { return Usage{} }
