package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/taskraft/taskraft/internal/checker"
	"github.com/taskraft/taskraft/internal/faultdisk"
	"github.com/taskraft/taskraft/internal/proc"
)

const queue = "chaos"

// stage is one cluster with its workers, the network between them and the disks that
// its masters have.
type stage struct {
	label   string // for lines of output
	dir     string
	cluster *proc.Cluster
	net     network
	disks   map[string]*faultdisk.Disk // by master; empty: none can be mounted
	missing map[string]string          // what this stage cannot do: why
	workers []*proc.Worker
}

// What a kind of fault may need of a stage.
const (
	needsDisk   = "disks that fail"
	needsDelay  = "links with delay and loss"
	needsCgroup = "cgroups that freeze"
)

// tailBytes of log are kept behind a snapshot, the least that there can be, and
// ballast is what submits carry when the log should grow.
const (
	tailBytes = 1 << 20
	ballast   = 32 << 10
)

// newStage prepares cluster number n of the run. Inside namespaces of our own odd ones
// have a network of namespaces, and all have disks that fail.
func newStage(binary, dir string, number int, outside error) (s *stage, err error) {
	s = &stage{label: fmt.Sprintf("c%d", number), dir: dir, disks: make(map[string]*faultdisk.Disk), missing: make(map[string]string)}
	if s.cluster, err = proc.NewCluster(binary, dir, 3, "--insecure",
		"--snapshot-bytes", "1MiB", "--tail-bytes", fmt.Sprintf("%dMiB", tailBytes>>20)); err != nil {
		return nil, err
	}
	s.cluster.Env = []string{"CHAOS_TAP=" + dir}
	if err := canFreeze(s.label); err != nil {
		s.missing[needsCgroup] = err.Error()
	}
	s.net = newLinks()
	if outside == nil && number%2 == 1 {
		if err := s.part(number); err != nil {
			return nil, err
		}
	}
	for _, m := range s.cluster.Masters() {
		if err := s.net.place(m); err != nil {
			return nil, err
		}
		if s.missing[needsDisk] != "" {
			continue
		}
		if err := s.mount(m, outside); err != nil {
			s.missing[needsDisk] = err.Error()
		}
	}
	return s, nil
}

// part makes a network of namespaces, where the kernel has what that takes.
func (s *stage) part(number int) error {
	spaces, err := newSpaces(number, s.cluster.Masters())
	if err != nil {
		fmt.Printf("chaos: %s has masters behind proxies, not in network namespaces: %v\n", s.label, err)
		return nil
	}
	s.net = spaces
	if err := spaces.slow(time.Millisecond, 0); err != nil {
		s.missing[needsDelay] = err.Error()
		return nil
	}
	return spaces.heal()
}

// mount gives a master a disk that can fail.
func (s *stage) mount(m *proc.Master, outside error) error {
	if outside != nil {
		return outside
	}
	if err := os.Mkdir(s.backing(m), 0o700); err != nil {
		return err
	}
	d, err := faultdisk.Mount(s.backing(m), filepath.Join(s.dir, m.Name))
	if err == nil {
		s.disks[m.Name] = d
	}
	return err
}

// backing is where the files of a master's disk are, for who must not go through it.
func (s *stage) backing(m *proc.Master) string { return filepath.Join(s.dir, m.Name+".disk") }

// data is the directory of a master that does not run, seen from behind its disk.
func (s *stage) data(m *proc.Master) string {
	if s.disks[m.Name] != nil {
		return s.backing(m)
	}
	return filepath.Join(s.dir, m.Name)
}

// wipe removes the data of a master that does not run, as if its disk were a new one.
func (s *stage) wipe(m *proc.Master) error {
	if d := s.disks[m.Name]; d != nil {
		if _, err := d.PowerCut(false); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(s.data(m))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(s.data(m), e.Name())); err != nil {
			return err
		}
	}
	m.Rejoin()
	return nil
}

// start starts masters and workers.
func (s *stage) start(ctx context.Context) error {
	if err := s.cluster.Start(); err != nil {
		return err
	}
	forming, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("not within a minute"))
	defer cancel()
	if _, err := s.cluster.Leader(forming); err != nil {
		return err
	}
	for i := range 4 {
		w, err := s.worker(fmt.Sprintf("w%d", i+1))
		if err != nil {
			return err
		}
		s.workers = append(s.workers, w)
	}
	return nil
}

func (s *stage) worker(id string) (*proc.Worker, error) {
	party := here
	if id == "w3" || id == "w4" {
		party = side
	}
	return s.cluster.WorkerIn(s.net.home(party), id, s.cluster.Addrs(), "--queue", queue, "--slots", "3")
}

// script is what every task runs: it says when it began and ended, by itself. Some
// fail at first.
const script = `echo "start $TASKRAFT_WORKER $TASKRAFT_TASK $TASKRAFT_FENCE $(date +%%s%%N)" >>%[1]s
sleep %[2]s
echo "end $TASKRAFT_WORKER $TASKRAFT_TASK $TASKRAFT_FENCE $(date +%%s%%N)" >>%[1]s
[ "$TASKRAFT_ATTEMPT" -gt %[3]d ] || exit 1
echo "$TASKRAFT_TASK"`

func (s *stage) script(sleep string, failures int) string {
	return fmt.Sprintf(script, filepath.Join(s.dir, "runs.raw"), sleep, failures)
}

// heal undoes all faults and waits until every master has caught up.
func (s *stage) heal(ctx context.Context) error {
	if err := s.net.heal(); err != nil {
		return err
	}
	for _, d := range s.disks {
		d.Set(faultdisk.Faults{})
	}
	if err := s.cluster.Start(); err != nil {
		return err
	}
	for i, w := range s.workers {
		if w.Running() {
			continue
		}
		again, err := s.worker(w.ID)
		if err != nil {
			return err
		}
		s.workers[i] = again
	}
	for _, m := range s.cluster.Masters() {
		if err := s.cluster.Rejoined(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// compare ends the workers and holds the tables to each other (C1).
func (s *stage) compare(ctx context.Context) error {
	if err := s.cluster.StopWorkers(); err != nil {
		return err
	}
	index, digest, err := s.cluster.Digest(ctx)
	if err != nil {
		return fmt.Errorf("the masters' tables (C1): %w", err)
	}
	fmt.Printf("chaos: %s: all three tables have digest %.16s at index %d\n", s.label, digest, index)
	return nil
}

func (s *stage) close() error {
	for _, d := range s.disks {
		d.Set(faultdisk.Faults{}) // nobody can be killed who waits for a disk
	}
	errs := []error{s.cluster.Close()}
	for _, d := range s.disks {
		errs = append(errs, d.Close())
	}
	return errors.Join(append(errs, s.net.close())...)
}

// saveRuns turns what the scripts wrote into executions. One without an end was
// cut off.
func (s *stage) saveRuns() error {
	f, err := os.Open(filepath.Join(s.dir, "runs.raw"))
	if err != nil {
		return fmt.Errorf("read executions: %w", err)
	}
	defer f.Close()
	byFence := make(map[uint64]int)
	var runs []checker.Run
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var verb string
		var r checker.Run
		if _, err := fmt.Sscan(strings.TrimSpace(lines.Text()), &verb, &r.Worker, &r.Task, &r.Fence, &r.Start); err != nil {
			return fmt.Errorf("read executions: %q: %w", lines.Text(), err)
		}
		if i, began := byFence[r.Fence]; began && verb == "end" {
			runs[i].End = r.Start
			continue
		}
		byFence[r.Fence] = len(runs)
		runs = append(runs, r)
	}
	return save(filepath.Join(s.dir, "runs.jsonl"), runs)
}

// save writes values, one a line.
func save[T any](path string, values []T) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	lines := json.NewEncoder(w)
	for _, v := range values {
		if err := lines.Encode(v); err != nil {
			return fmt.Errorf("record: %w", err)
		}
	}
	return w.Flush()
}
