// Package fsm decides. It is the replicated task table: given the same entries
// in the same order, every master's Machine holds the same table, gives the
// same results and writes the same snapshot, byte for byte.
//
// # Purity
//
// Nothing here does I/O, reads a clock, starts a goroutine, takes a lock, draws
// a random number, calculates with floats or lets the order of a Go map reach a
// result (C4). What looks like any of these comes from outside: time is the
// entry's now, put there by the leader and never going back; jitter is a hash of
// task id and attempt; the caller holds the one lock. io.Reader and io.Writer
// appear only in Snapshot.WriteTo and Restore, which are given theirs. A test of
// the repository holds the list of imports.
//
// There are no errors out of Apply: a refusal is an Outcome, a result like any
// other. A programmer's error panics. Effects leave Apply as data: a Result per
// command for the caller, Events for the dispatcher.
//
// # An entry
//
// An entry is a frozen header (format, feature level, proposer's term, now) and
// commands. If the header's term is not the Raft term of the entry, a deposed
// leader wrote it: nothing is done. Otherwise the commands are carried out one
// after the other as they stand. The proposer puts them in this order, so that
// one entry does most:
//
//	session changes                      what ends frees tasks and slots
//	complete, fail, release, cancel      frees slots
//	tick                                 what is due becomes ready
//	submit, retry, fire, settings, …     adds ready tasks
//	assign                               matches both
//
// DecodeEntry refuses what it does not know entirely, down to nested fields: a
// command half understood would split the tables.
//
// Each submitted, completed, failed, released, cancelled, retried and assigned
// task is one transition (two when a refused report also ends STOPPING). At
// MaxTransitions per entry, assignments, ticks and ends of sessions stop; what
// is left stays due and following ticks carry it on (Session.Ending is such a
// mark; others are an unpacked batch, a cancelled one, a parent whose children are
// being told, a bulk retry). What an entry's own items ask for is always done.
//
// # The table
//
// Primary tables are copy-on-write B-trees: tasks, queues, sessions, workers,
// request ids, clients, members, schedules. Snapshot copies them in O(1) and may be written
// while later entries apply. A *Task is frozen: an update copies it and replaces
// it. Queue, session, worker and client records are changed in place by the
// epoch that made them; a snapshot begins a new epoch, after which the first
// change copies. Indexes (ready lanes, what is due, what a session holds, what
// retention removes next, counters) are functions of the records: kept by
// Machine.reindex, never copied, rebuilt by Restore.
//
// # Where things are
//
//	lifecycle.go   every change of a task's state, and the table of them
//	machine.go     the tables, Apply, which verb a command is
//	entry.go strict.go             the log's encoding
//	submit.go extra.go             new tasks, what few tasks have
//	requests.go unique.go          request ids; unique keys and limits of length
//	attempt.go                     complete, fail, release: what a fence is worth
//	assign.go choose.go            which task a session gets
//	pool.go key.go rate.go         ready tasks by labels and keys; limits
//	broadcast.go target.go         one task for every matching worker
//	push.go                        addresses at which workers serve
//	session.go ending.go workers.go  sessions open, attach, poll, end; drain, remove
//	batch.go stage.go              batches, staged chunks and what becomes of them
//	parents.go followup.go         what waits for an end, what is submitted with it
//	dead.go fingerprint.go         dead tasks by their errors, bulk retries
//	cancel.go sweep.go delete.go   cancel, by id and in bulk, retry, delete
//	settings.go                    queues, members, feature level
//	tick.go retain.go              what is due, retention
//	calls.go                       a repeated call gets its first answer
//	schedule.go fire.go            schedules, and what their times make
//	index.go queue.go fences.go idset.go idruns.go  indexes and counters
//	snapshot.go record.go          the snapshot's format, writing
//	restore.go load.go loadbatch.go verify.go   reading it
//	view.go catalog.go search.go   reads; which tasks have what a search asks for
package fsm
