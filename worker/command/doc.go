// Package command is a worker's handler for tasks that run a program.
//
// The payload is JSON; only argv is required:
//
//	{"argv": ["gzip", "-9"], "env": {"LEVEL": "9"}, "dir": "/srv", "stdin": "text"}
//
// The result is JSON as well (content type application/json):
//
//	{"exit_code": 0, "signal": "", "stdout": "…", "stderr": "…",
//	 "stdout_truncated": false, "stderr_truncated": false, "duration_ms": 12}
//
// Of standard output and standard error the result has the end, what fits. While
// the program runs, its output is shown as worker.Output shows it.
//
// No shell is involved: argv reaches the program byte for byte. Which programs may
// run is decided when the worker starts. The child gets PATH, HOME, LANG and a few
// more of the worker's variables, the payload's, and TASKRAFT_TASK,
// TASKRAFT_FENCE, TASKRAFT_ATTEMPT and TASKRAFT_WORKER (and TASKRAFT_RUN, see
// below); a schedule's task also has TASKRAFT_SCHEDULE and its nominal time as
// TASKRAFT_FIRE_TIME.
//
// What the exit says:
//
//	0                          complete
//	126, 127                   DEAD: the program cannot be run
//	any other, or a signal     failed, to be tried again; the result is kept
//	not allowed, bad payload   DEAD
//
// The program has its own process group. When its time is over, or the execution
// is void, the group gets SIGTERM, and SIGKILL after a grace period; when the worker
// fences itself, SIGKILL at once. Whatever is left of the group when the program
// itself ends is killed too. Descendants that left the group are found by their
// TASKRAFT_RUN when something had to be killed or still holds the output (Linux
// only, and best effort). On Linux a worker that is killed takes the program with it.
//
// Limits bound the memory, processor time, open files and file size of a program
// and of each of its children. On Linux it is stopped at its start until they are
// set, by ptrace: a program whose file is set-user-id does not get that user then.
//
// A program that survives SIGKILL (it hangs in the kernel) is logged as stuck and
// keeps its slot.
//
//	command.go      configuration, from a task to a result
//	payload.go      what a task asks for, checked
//	allow.go        which programs may run
//	supervise.go    one process group from start to end
//	output.go       the end of what it printed, and the result
//	limits.go       what a program may use; limits_linux.go sets it
//	proc_linux.go   what only Linux can do
package command
