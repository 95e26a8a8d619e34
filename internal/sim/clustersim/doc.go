// Package clustersim runs whole masters in virtual time: package cluster as it is, with
// hashicorp/raft, its transport, its log on (fake) disks and its snapshots, in a bubble of
// testing/synctest, where a minute takes as long as the work in it.
//
//	submitters, workers ── calls that are lost or come twice ──► cluster.Node × 1, 3, 5
//	programs: package client ── gRPC, whose answers are lost ──► package rpc in front of each
//	                                  network (network.go) between them: cut, one-way,
//	                                  late, lossy, clogged, rejecting; TCP's order holds
//	                                  disk (disk.go) under each: slow, hung, failing, full;
//	                                  unsynced writes lost or torn in a power cut, unsynced
//	                                  names lost; flipped bits
//	                                  wall clock of each: off, jumping, too fast or too slow
//	nemesis (nemesis.go): one fault after the other, of the kinds that the seed has on;
//	witnesses (witness.go) look at a leader that others took for dead
//	journal (journal.go): what every master applied, what every caller was told
//
// When the time of the faults is over all heals, and every task must come to its end
// (L1). Then package checker judges what was recorded, as it does for real processes:
// the log replayed by the model, acknowledgements against the log, calls about each task
// for an order (S1–S6, S8–S10, S12, S14). While the masters run, each entry is compared with what the
// others applied and with their tables' hashes (C1, C2), who acknowledges in a term is one
// master, reads do not go back (S13), and sessions live as long as promised (S7). At the
// end the tables are equal byte by byte, and no goroutine is left (L5).
//
// A process that is killed cannot be taken out of a bubble. What is left of it goes on,
// without network, on a disk that was copied at the moment of its end, and nobody hears it.
//
// A seed draws the same faults in every play, but goroutines run in an order of their
// own: a seed that failed is played again and again, and how often it fails is printed.
// What cannot be simulated is a process that stands still (SIGSTOP) while its clock goes
// on; make chaos does that. All masters' timers run at one rate; only wall clocks differ.
package clustersim
