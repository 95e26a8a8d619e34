package proc

import (
	"os"
	"path/filepath"
	"strings"
)

// Worker is one worker process of a Cluster.
type Worker struct {
	*Process
	ID string
}

// Worker starts a worker process with the given id that knows only the given
// masters and may run any command. args are further flags of `taskraft worker
// run`. A process with the same id that runs already is left alone.
func (c *Cluster) Worker(id string, masters []string, args ...string) (*Worker, error) {
	return c.WorkerIn(nil, id, masters, args...)
}

// WorkerIn starts a worker process in a network namespace.
func (c *Cluster) WorkerIn(ns *os.File, id string, masters []string, args ...string) (*Worker, error) {
	args = append([]string{
		"worker", "run", "--id", id, "--masters", strings.Join(masters, ","),
		"--journal", c.journalPath(id), "--allow-command", "*",
	}, args...)
	p, err := Start(Spec{Name: id, Path: c.binary, Args: args, Env: c.Env, Net: ns, Log: filepath.Join(c.dir, id+".log")})
	if err != nil {
		return nil, err
	}
	w := &Worker{Process: p, ID: id}
	c.mu.Lock()
	c.workers = append(c.workers, w)
	if c.journals[id] == nil {
		c.journals[id] = NewJournal(id, c.journalPath(id))
	}
	c.mu.Unlock()
	return w, nil
}

// Settled returns what the journals of all workers gained since the last call.
func (c *Cluster) Settled() ([]Settled, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Settled
	for _, j := range c.journals {
		lines, err := j.Read()
		if err != nil {
			return nil, err
		}
		all = append(all, lines...)
	}
	return all, nil
}

// runningWorkers returns the worker processes that have not ended.
func (c *Cluster) runningWorkers() []*Worker {
	c.mu.Lock()
	defer c.mu.Unlock()
	var running []*Worker
	for _, w := range c.workers {
		if w.Running() {
			running = append(running, w)
		}
	}
	return running
}

func (c *Cluster) journalPath(id string) string { return filepath.Join(c.dir, id+".journal") }
