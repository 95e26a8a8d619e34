package proc

import "syscall"

// attr puts the process into its own group and ties its life to ours.
func attr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
