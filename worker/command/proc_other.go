//go:build unix && !linux

package command

import "syscall"

func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitExit would need waitid with WNOWAIT.
func awaitExit(int) bool { return false }

func killMarked(string) {}
