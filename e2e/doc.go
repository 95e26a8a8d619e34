// Package e2e tests Taskraft from outside: the real binary as separate masters
// and workers, killed, stopped and frozen under load, the scripts and the README.
//
// Nothing is believed that a master says about itself where there is another
// witness: acknowledged submits are the submitter's own list, completions are
// those in the workers' journals, expected results are computed here.
//
//	failover_test.go   every fault under continuous load, nothing lost or doubled
//	lateness_test.go   a worker that overruns its time, and what it is told
//	refusals_test.go   each answer that a completion can get
//	follower_test.go   clients and workers that know one follower only
//	follow_test.go     what a task writes, shown while leaders die
//	crowd_test.go      a hundred workers come and go; a restarted one is new
//	http_test.go       the JSON API on any master, a Python worker through the leader's death
//	dashboard_test.go  the dashboard in a real browser, also while the leader dies
//	demo_test.go       make demo's last line, and what Ctrl-C leaves behind
//	readme_test.go     the commands that the README shows
package e2e
