package proc

import (
	"path/filepath"
	"strings"
)

// Worker is a worker process.
type Worker struct {
	*Process
	ID      string
	Journal string // path of its journal, the same for every process with this id
}

// Worker starts a worker process with the given id that takes commands from its
// masters. args are further flags of `taskraft worker run`.
func (c *Cluster) Worker(id string, masters []string, args ...string) (*Worker, error) {
	w := &Worker{ID: id, Journal: filepath.Join(c.dir, id+".journal")}
	args = append([]string{
		"worker", "run", "--id", id, "--masters", strings.Join(masters, ","),
		"--journal", w.Journal, "--allow-command", "*",
	}, args...)
	p, err := Start(Spec{Name: id, Path: c.binary, Args: args, Log: filepath.Join(c.dir, id+".log")})
	if err != nil {
		return nil, err
	}
	w.Process = p
	return w, nil
}
