// Package worker executes tasks of a Taskraft cluster.
//
//	err := worker.Run(ctx, worker.Config{
//		Masters:  []string{"127.0.0.1:7400"},
//		ID:       "mail-1",
//		Queues:   []worker.Queue{{Name: "mail"}},
//		Slots:    8,
//		Handlers: map[string]worker.Handler{"send": send},
//	})
//
// Run holds one stream to the leader and follows it. Assignments come down,
// results and heartbeats go up, both coalesced. Handlers run in a bounded pool of
// goroutines and do not notice when a master dies: results wait until a master
// has answered them with an outcome, and are offered again on the next stream.
//
//	stream ──assignments──▶ table ──queue──▶ pool (Slots goroutines) ──▶ handler
//	   ▲                      │ ▲                                          │
//	   └──────reports─────────┘ └────────────── report ◀───────────────────┘
//
// What a handler returns decides:
//
//	nil error           the task is complete, with the Result
//	Permanent(err)      the task is DEAD
//	RetryAfter(err, d)  failed; again after d
//	Snooze(d)           again after d; no attempt is counted
//	any other error     failed; again after the task's back-off. With ErrDraining or
//	                    ErrLost it is handed back: it did not fail by itself
//	a panic             failed, with a trimmed stack
//
// While it runs, a handler may say how far it is (Progress) and show what it has to
// show (Output); `taskraft task logs -f` follows both.
//
// What is broadcast to all workers runs beside the slots, one at a time.
//
// A handler's context ends with the attempt's time limit, and with a cause when
// the execution is void: ErrTimedOut, ErrCancelled, ErrLost, or ErrDraining when
// Run must end. In a queue with self_fence it ends, too, before the task can start
// elsewhere because no master hears this worker: ErrSelfFenced. TaskOf(ctx) is the
// task, wherever the context was passed.
// Middleware (Recover, Log, Timeout, your own) stands around every handler. Typed
// handlers are in package task. Execution is at least once: a handler that has side effects
// passes Task.Fence on, so that an older execution can be told from a newer one.
//
//	config.go      what to run, checked
//	task.go        what a handler gets and returns
//	middleware.go  what stands around a handler
//	say.go         progress and output, as handlers say them
//	voice.go       what one attempt says before its end
//	live.go        what all attempts say, in turn and within bounds
//	context.go     a handler's context, made only when it is looked at
//	report.go      from a handler's return to a message
//	table.go       the attempts without a seen outcome
//	leash.go       how long attempts may go on unheard, in queues that want so
//	pool.go        the goroutines that run them
//	stream.go      one stream: attach, receive, listen for silence
//	send.go        one stream: reports and heartbeats
//	run.go         streams one after another, and the end
//	serve.go       instead of streams: answers to the leader that calls
//	drain.go       what becomes of the attempts at the end
package worker
