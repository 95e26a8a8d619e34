// Package metrics answers /metrics for Prometheus. Everything is collected when it
// is asked for, from counters that the node keeps anyway: a master that nobody
// scrapes pays nothing.
//
// Three kinds of series differ in how masters are added up, and say so in their help:
//
//	table   every master has the same, from its copy of the table: max over masters
//	leader  counted by the master that led at that time: sum over masters
//	node    of this master alone
//
// Labels with names of users (queues, kinds) have at most 1,000 values; the rest is
// counted as "_other", which is no valid name.
package metrics
