// Package cluster orders commands through Raft: it stamps time, coalesces,
// dispatches assignments, detects failures, and hides hashicorp/raft.
package cluster
