// Package load puts a measured load on a cluster: producers that submit no-op
// tasks and workers that complete them, all in this process.
//
// A lifecycle counts when the worker has seen its completion confirmed. The
// backlog is bounded, so producers and workers go at the same pace. In the end
// producers stop, workers go on until nothing is left, and every acknowledged id
// is compared with the confirmed completions: lost ones and those recorded twice
// are counted here, never by the masters.
//
//	run.go        phases: fill, warm-up, measurement, drain
//	producer.go   submits
//	consumer.go   workers and what they confirm
//	ledger.go     two bits per task: acknowledged, completed
//	trails.go     some tasks step by step, for the checker
//	gap.go        the longest time without a completion
package load
