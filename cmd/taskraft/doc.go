// Command taskraft is everything of Taskraft in one binary: the master, the
// worker that runs programs, the client, a local cluster and a load generator.
//
// This folder only wires: internal/cli has the commands, internal/settings the
// table behind flags, environment and file, internal/show the output formats,
// internal/load what `taskraft bench` does. Nothing here decides about tasks.
package main
