package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// stages are what a lifecycle's time is spent on. A stack belongs to the first
// stage of which it has a frame.
var stages = []struct {
	name   string
	frames []string
}{
	{"garbage collection", []string{"runtime.gcBgMark", "runtime.bgsweep", "runtime.gcAssist", "runtime.bgscavenge"}},
	{"page faults", []string{"exc_page_fault"}},
	{"log: write and fsync", []string{"logstore.(*guard).write", "wal.(*Log)"}},
	{"apply: decode", []string{"fsm.(*Decoder)"}},
	{"apply: table", []string{"fsm.(*Machine).Apply"}},
	{"apply: events", []string{"cluster.(*recorder)", "cluster/events"}},
	{"apply: dispatch", []string{"cluster.(*reign).event", "cluster.(*reign).applied", "cluster.(*engine).applied"}},
	{"Raft and its transport", []string{"hashicorp/raft", "cluster/transport"}},
	{"encode and propose", []string{"cluster.(*reign).propose", "cluster.(*reign).build"}},
	{"submit calls", []string{"SubmitTask", "client.(*gather)", "client.(*Client)"}},
	{"workers' streams", []string{"rpc.(*Server).Work", "worker.(*"}},
	{"gRPC's own", []string{"google.golang.org/grpc", "golang.org/x/net/http2"}},
	{"load", []string{"internal/load"}},
	{"idle", []string{"default_idle"}},
	{"Go's scheduler, wake-ups", []string{"runtime.schedule", "runtime.sysmon", "runtime.mcall", "runtime.mstart"}},
	{"the rest", []string{""}},
}

// The roles of processes.
const (
	leader = iota
	followers
	clients
	others
	roles
)

// account is how many samples each stage and role has.
type account struct {
	counts [][roles]int
	total  int
}

// take sorts samples of the processes with a command's name: the one that answers
// submits leads, the one that has a load is the clients'.
func take(stacks []stack, command string) account {
	role := make(map[int]int)
	for _, s := range stacks {
		switch {
		case s.command != command: // or before it became the command
		case strings.Contains(s.frames, "internal/load."):
			role[s.process] = clients
		case strings.Contains(s.frames, "cluster.(*reign).propose"):
			role[s.process] = leader
		default:
			if _, known := role[s.process]; !known {
				role[s.process] = followers
			}
		}
	}
	a := account{counts: make([][roles]int, len(stages)), total: len(stacks)}
	for _, s := range stacks {
		r, known := role[s.process]
		if !known {
			r = others
		}
		a.counts[stageOf(s)][r]++
	}
	return a
}

func stageOf(s stack) int {
	for i, stage := range stages {
		for _, frame := range stage.frames {
			if strings.Contains(s.frames, frame) {
				return i
			}
		}
	}
	return len(stages) - 1
}

// write prints microseconds per lifecycle, of which rate were done in a second on
// that many cores.
func (a account) write(w io.Writer, cores int, rate float64) error {
	each := float64(cores) * 1e6 / rate / float64(max(a.total, 1))
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "µs of CPU per lifecycle\tleader\tfollowers\tclients\tothers\tall\t")
	var sum [roles]int
	for i, stage := range stages {
		row(tw, stage.name, a.counts[i], each)
		for r, n := range a.counts[i] {
			sum[r] += n
		}
	}
	row(tw, "all", sum, each)
	return tw.Flush()
}

func row(w io.Writer, name string, counts [roles]int, each float64) {
	all := 0
	fmt.Fprintf(w, "%s\t", name)
	for _, n := range counts {
		all += n
		fmt.Fprintf(w, "%.2f\t", float64(n)*each)
	}
	fmt.Fprintf(w, "%.2f\t\n", float64(all)*each)
}
