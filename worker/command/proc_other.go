//go:build unix && !linux

package command

import "syscall"

func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitExit needs waitid with WNOWAIT; without it the group is signalled once
// more before the child is known to have ended.
func awaitExit(int) {}

func killMarked(string) {}
