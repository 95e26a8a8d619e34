// Command chaos does to a cluster of real processes what can be done to it without
// privileges, under continuous work, and has package checker judge what was
// recorded: kills and freezes of masters and workers, cut and slow links between
// masters, a flipped bit in a log. Then everything is healed, every task must come
// to its end, and all tables must be equal.
//
//	go build -tags chaos -o bin/taskraft-chaos ./cmd/taskraft
//	go run ./e2e/chaos -taskraft bin/taskraft-chaos -for 5m
//
// The binary is built with the tag chaos, so that each master writes what it
// applies. Links between masters run through proxies of this program, which know
// by the first frame of a connection who has made it. A run's directory stays: it
// can be checked again by go run ./internal/checker/check DIR.
package main
