//go:build unix && !linux

package proc

import "syscall"

// attr puts the process into its own group.
func attr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
