// Package proc runs a Taskraft cluster as real, separate processes on this
// machine: masters and workers that can be killed, frozen, stopped and
// restarted one by one. The demo and the end-to-end tests are its users.
//
// Every process has its own process group, so a Ctrl-C in the terminal reaches
// only the program that started it, which then ends its processes in order. On
// Linux the kernel ends them too should that program itself be killed.
//
// What the processes do is read from outside: a master's state over its gRPC
// port, a worker's confirmed outcomes from the journal that it writes.
package proc
