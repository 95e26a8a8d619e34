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
	"github.com/taskraft/taskraft/internal/proc"
)

const queue = "chaos"

// stage is the cluster, its workers and the links between its masters.
type stage struct {
	dir     string
	cluster *proc.Cluster
	links   *links
	workers []*proc.Worker
}

func newStage(binary, dir string) (*stage, error) {
	if err := os.Setenv("CHAOS_TAP", dir); err != nil {
		return nil, err
	}
	c, err := proc.NewCluster(binary, dir, 3)
	if err != nil {
		return nil, err
	}
	s := &stage{dir: dir, cluster: c, links: newLinks()}
	ports, err := proc.FreePorts(len(c.Masters()))
	if err != nil {
		return nil, err
	}
	for i, m := range c.Masters() {
		m.Bind = fmt.Sprintf("127.0.0.1:%d", ports[i])
		if err := s.links.proxy(m.Name, m.Raft, m.Bind); err != nil {
			return nil, err
		}
	}
	return s, nil
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
	return s.cluster.Worker(id, s.cluster.Addrs(), "--queue", queue, "--slots", "3")
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
	s.links.heal()
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
	fmt.Printf("chaos: all three tables have digest %.16s at index %d\n", digest, index)
	return nil
}

func (s *stage) close() error {
	err := s.cluster.Close()
	s.links.close()
	return err
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
