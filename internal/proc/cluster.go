package proc

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// stopGrace is how long a process may take to stop after SIGTERM.
const stopGrace = 20 * time.Second

// pollEvery is how often a state is asked for while waiting for it.
const pollEvery = 5 * time.Millisecond

// Cluster is a set of masters on loopback ports of their own.
type Cluster struct {
	// Env is added to the environment of every process. Set before the first Start.
	Env []string

	binary  string
	dir     string
	args    []string
	masters []*Master
	formed  []*Master // whom --peers names

	mu       sync.Mutex // guards the rest
	workers  []*Worker
	journals map[string]*Journal // by worker id
}

// NewCluster chooses ports and prepares n masters n1, n2 … with their data, logs
// and journals under dir. args are further flags of every master. Nothing is
// started yet.
func NewCluster(binary, dir string, n int, args ...string) (*Cluster, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, fmt.Errorf("locate the binary: %w", err)
	}
	ports, err := FreePorts(3 * n)
	if err != nil {
		return nil, err
	}
	c := &Cluster{binary: binary, dir: dir, args: args, journals: make(map[string]*Journal)}
	for i := range n {
		c.masters = append(c.masters, &Master{
			Name:    fmt.Sprintf("n%d", i+1),
			GRPC:    loopback(ports[3*i]),
			Raft:    loopback(ports[3*i+1]),
			HTTP:    loopback(ports[3*i+2]),
			cluster: c,
		})
	}
	c.formed = slices.Clone(c.masters)
	return c, nil
}

// Dir returns the directory that everything of the cluster lies under.
func (c *Cluster) Dir() string { return c.dir }

// Binary returns the absolute path of the program that runs.
func (c *Cluster) Binary() string { return c.binary }

// Masters returns all masters in the order of their names.
func (c *Cluster) Masters() []*Master { return c.masters }

// Addrs returns the gRPC addresses of all masters.
func (c *Cluster) Addrs() []string {
	addrs := make([]string, 0, len(c.masters))
	for _, m := range c.masters {
		addrs = append(addrs, m.GRPC)
	}
	return addrs
}

// Start starts every master that does not run.
func (c *Cluster) Start() error {
	for _, m := range c.masters {
		if m.Running() {
			continue
		}
		if err := m.Start(); err != nil {
			return err
		}
	}
	return nil
}

// Leader waits for a master that leads and serves, and returns it.
func (c *Cluster) Leader(ctx context.Context) (*Master, error) {
	var leader *Master
	err := Poll(ctx, pollEvery, "a leader serves", func() bool {
		leader = c.leaderNow(ctx)
		return leader != nil
	})
	return leader, err
}

// leaderNow asks all masters once, and returns the serving leader of the highest
// term, nil if there is none.
func (c *Cluster) leaderNow(ctx context.Context) *Master {
	var leader *Master
	var term uint64
	for _, m := range c.masters {
		if !m.Running() {
			continue
		}
		if s, err := m.Status(ctx); err == nil && s.GetServing() && s.GetTerm() > term {
			leader, term = m, s.GetTerm()
		}
	}
	return leader
}

// NextLeader waits for a serving leader other than old.
func (c *Cluster) NextLeader(ctx context.Context, old *Master) (*Master, error) {
	var leader *Master
	err := Poll(ctx, pollEvery, "a leader other than "+old.Name+" serves", func() bool {
		leader = c.leaderNow(ctx)
		return leader != nil && leader != old
	})
	return leader, err
}

// Leaderless waits until no master leads and serves.
func (c *Cluster) Leaderless(ctx context.Context) error {
	return Poll(ctx, pollEvery, "no master serves as leader", func() bool { return c.leaderNow(ctx) == nil })
}

// Followers waits for a leader and returns the other running masters.
func (c *Cluster) Followers(ctx context.Context) ([]*Master, error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return nil, err
	}
	var followers []*Master
	for _, m := range c.masters {
		if m != leader && m.Running() {
			followers = append(followers, m)
		}
	}
	return followers, nil
}

// Rejoined waits until m follows a leader and has applied what that leader had
// applied when it was asked.
func (c *Cluster) Rejoined(ctx context.Context, m *Master) error {
	return Poll(ctx, pollEvery, m.Name+" has caught up", func() bool {
		leader := c.leaderNow(ctx)
		if leader == nil {
			return false
		}
		if leader == m {
			return true
		}
		want, err := leader.Status(ctx)
		if err != nil {
			return false
		}
		have, err := m.Status(ctx)
		return err == nil && have.GetTerm() == want.GetTerm() &&
			have.GetAppliedIndex() >= want.GetAppliedIndex()
	})
}

// Digest waits until every master reports the digest of its table at one index,
// and returns both. Different digests at the same index are an error (C1). The
// caller makes sure that nothing changes the table any more.
func (c *Cluster) Digest(ctx context.Context) (index uint64, sha256 string, err error) {
	var diverged error
	err = Poll(ctx, 50*time.Millisecond, "all masters report one index", func() bool {
		index, sha256 = 0, ""
		for _, m := range c.masters {
			d, err := m.digest(ctx)
			switch {
			case err != nil:
				return false
			case index == 0:
				index, sha256 = d.GetIndex(), d.GetSha256()
			case d.GetIndex() != index:
				return false
			case d.GetSha256() != sha256:
				diverged = fmt.Errorf("tables differ at index %d: %s has %s, %s has %s",
					index, c.masters[0].Name, sha256, m.Name, d.GetSha256())
				return true
			}
		}
		return true
	})
	return index, sha256, errors.Join(err, diverged)
}

// StopWorkers ends every worker with SIGTERM, as an operator would, and waits
// until they are gone.
func (c *Cluster) StopWorkers() error {
	var stopping sync.WaitGroup
	running := c.runningWorkers()
	errs := make([]error, len(running))
	for i, w := range running {
		stopping.Go(func() { errs[i] = w.Stop(stopGrace) })
	}
	stopping.Wait()
	return errors.Join(errs...)
}

// Close kills every process of the cluster that still runs and closes the
// connections to them.
func (c *Cluster) Close() error {
	var errs []error
	for _, w := range c.runningWorkers() {
		errs = append(errs, w.Kill())
	}
	for _, m := range c.masters {
		if m.Running() {
			errs = append(errs, m.Kill())
		}
		errs = append(errs, m.close())
	}
	return errors.Join(errs...)
}

// Logs returns the end of every master's and every worker's output.
func (c *Cluster) Logs() string {
	var b strings.Builder
	paths, _ := filepath.Glob(filepath.Join(c.dir, "*.log"))
	for _, path := range paths {
		fmt.Fprintf(&b, "=== %s\n%s\n", filepath.Base(path), tail(path, 8<<10))
	}
	return b.String()
}

func (c *Cluster) peers() string {
	peers := make([]string, 0, len(c.masters))
	for _, m := range c.formed {
		peers = append(peers, m.Name+"="+m.Raft)
	}
	return strings.Join(peers, ",")
}
