// Package client submits tasks to a Taskraft cluster and looks after them.
//
//	c, err := client.New(client.Config{Masters: []string{"127.0.0.1:7400"}})
//	…
//	r, err := c.Submit(ctx, client.Task{Queue: "mail", Kind: "send", Payload: msg})
//	t, err := c.Wait(ctx, r.ID)
//
// A Client finds the leader and follows it. Every call is repeated until it is
// answered or its context ends, and never takes effect twice: each Client has a
// random id and numbers its calls, and the task table remembers the outcomes
// until they are acknowledged. Contexts are the only time limit, except that one
// mutating call is repeated for at most ten minutes.
//
// Many tasks at a time are the matter of RunAll, which submits what an iterator
// gives and iterates over what becomes of it, and of SubmitAsync, which returns a
// Handle at once. Both gather submits into few calls and learn of all ends over
// one stream.
//
// What an error means:
//
//	ErrNoLeader    no master that leads was found in time: nothing was changed
//	ErrUncertain   the call may or may not have taken effect, now or later
//	*Error         the masters' answer: Code, Reason (package rpc/reason), Fields
//	*EndedError    a task ended without success: ErrDead or ErrCancelled
//	context errors the context ended, and nothing was changed
//
// With Task.RequestID a submit can also be repeated by another process, or after
// ErrUncertain, without making a second task.
//
//	client.go   configuration, start and end, how reads and changes are made
//	calls.go    call numbers
//	runall.go   many tasks, one iteration over what becomes of them
//	handle.go   one submit and its task, asynchronously
//	gather.go   few calls of many submits
//	follow.go   one task's states, progress and output
//	watch.go    one stream for the ends of many tasks
//	errors.go   what callers see of errors
//	ended.go    tasks that ended without success
//	tasks.go, queues.go, cluster.go   the calls
package client
