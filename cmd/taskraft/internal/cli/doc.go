// Package cli is the command tree of taskraft: flags, signals, wiring, output
// and exit codes.
//
//	app.go        the tree, and what every command goes through before it runs
//	config.go     the values of all settings, and the tables that describe them
//	exit.go       exit codes, and how an error is told
//	master.go     one master: serve.go runs it, bind.go its listeners
//	worker.go     a worker that runs programs
//	submit.go     submit; taskfile.go reads tasks from a file
//	task.go       task list, get, wait, cancel, retry
//	queue.go      queue list, get, set, pause, resume
//	clustercmd.go cluster status, members, transfer, digest; clusterview.go asks
//	dev.go        masters and workers in one terminal; devrun.go watches them
//	bench.go      load, by package load; benchrun.go kills, benchreport.go tells
//	signals.go    what a first and a second signal do
//
// stdout carries data, stderr talk. Commands get their streams and environment
// from the caller, so tests run the real tree in their own process.
package cli
