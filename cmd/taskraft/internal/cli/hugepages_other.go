//go:build !linux

package cli

// layOut is for Linux.
func layOut() {}
