// Command scale is what `make bench-scale` and `make bench-idle` run: masters as
// separate processes on a disk, and how what they cost grows with what they hold.
//
//	main.go     flags, order of the steps
//	bench.go    what the steps share: clusters, loads, figures
//	backlog.go  cost of a lifecycle against the number of queued tasks
//	large.go    a large backlog: memory, restart, snapshots, lists, kill -9
//	snapwatch.go  when snapshots are written
//	crowd.go    many idle workers
//	followers.go  those workers, which follow the leader
//	reconnect.go  many workers find the next leader after a kill of the leader
//	variety.go  many queues, payload sizes, numbers of masters
//	idle.go     an idle cluster with a hundred workers
//	report.go   the table and scale.json
//	chart.go    scale.svg
//
// Each step starts clusters of its own and ends them; -short makes all of them
// small. Figures that have a target in docs/PERFORMANCE.md say whether they meet it.
package main
