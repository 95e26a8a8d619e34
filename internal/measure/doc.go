// Package measure holds what every load needs, whatever it is put on: the bound on
// a backlog, and percentiles of durations that cost little to take.
package measure
