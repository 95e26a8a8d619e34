// Package badinput lists every kind of bad input that Taskraft is known to meet,
// one row each, and the packages whose tests hold the rows. What each input gets
// stands in those tests, which are named by the row.
//
// Its own test reads the tests' sources: it fails when a package no longer tests a
// row that it should, and when a test names a row that is none. Run with -v it
// prints each row as tested, and where, or as waiting for what has to be built
// first.
package badinput
