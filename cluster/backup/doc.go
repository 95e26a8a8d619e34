// Package backup is the file that a backup is: a table with where it came from.
//
//	magic    8 bytes "taskback", 2 bytes version, big-endian
//	head     4 bytes length, JSON of Info
//	table    the canonical snapshot (package fsm), zstd
//	trailer  SHA-256 of everything before it
//
// A backup is checked whole before anything is made of it.
package backup
