// Package cells puts the same loads on every system and measures them.
//
// A cell is one kind of load. A run is one cell on one system, started fresh for
// it: producers and consumers warm up, are measured, producers stop, and
// consumers go on until every acknowledged task is completed. The number of
// tasks that are submitted and not completed is bounded, so that both sides go
// at the same pace, and what was acknowledged is compared with what was
// confirmed.
//
//	cell.go      which loads there are
//	run.go       one run from start to stop
//	load.go      producers and consumers
//	record.go    what was acknowledged and confirmed, when
//	gaps.go      kill -9 of the leader
//	backlog.go   a queue of a million tasks
//	result.go    what a run found
package cells
