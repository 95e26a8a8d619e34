// Command chaos does its worst to clusters of real processes under continuous work,
// and has package checker judge what was recorded: kills and freezes of masters and
// workers, links that are cut, slow or lossy, also in one direction, disks that lose
// what was not synced, fail, hang or fill up, damaged logs, clocks that jump, members
// that are replaced. Then everything is healed, every task must come to its end, and
// all tables must be equal.
//
//	go build -tags chaos -o bin/taskraft-chaos ./cmd/taskraft
//	go run ./e2e/chaos -taskraft bin/taskraft-chaos -for 5m
//
// The binary is built with the tag chaos, so that each master writes what it applies.
// The program runs in mount and network namespaces of its own, where it may have them
// (as root, or in a user namespace). There every master has a disk of package
// faultdisk, and by turns a cluster's parties are in network namespaces, where packets
// get lost, or links between masters run through proxies of this program, which know
// by the first frame of a connection who has made it. Without namespaces there are
// proxies alone; a kind of fault that cannot be done is printed and counted.
//
// A run's directory stays: it can be checked again by go run ./internal/checker/check
// DIR.
package main
