package peer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// postgresSettings are those that PostgreSQL's documentation recommends to raise
// from their small defaults; what decides about durability stays as shipped
// (fsync and synchronous_commit on).
var postgresSettings = []string{
	"shared_buffers=1GB", "max_wal_size=4GB", "checkpoint_timeout=15min", "wal_buffers=16MB",
	"max_connections=300", "autovacuum_naptime=10s",
}

// postgres is one PostgreSQL server, which refuses to run as root.
type postgres struct {
	daemon
	user string // whom root becomes for it; "" when we are not root
}

// open starts a server with an empty database under dir.
func (p *postgres) open(ctx context.Context, dir string) error {
	initdb, err := program("initdb", "/usr/lib/postgresql/*/bin")
	if err != nil {
		return err
	}
	path, err := program("postgres", filepath.Dir(initdb))
	if err != nil {
		return err
	}
	if err := p.chooseUser(dir); err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	command := p.as(initdb, "-D", data, "-U", "bench", "--auth=trust", "--encoding=UTF8", "--locale=C")
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return p.start(ctx, dir, command[0], func(port int) []string {
		args := []string{path, "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", dir}
		for _, s := range postgresSettings {
			args = append(args, "-c", s)
		}
		return p.as(args...)[1:]
	})
}

// chooseUser makes dir the home of an unprivileged user if we are root.
func (p *postgres) chooseUser(dir string) error {
	if os.Getuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return err
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return err
		}
		p.user = name
		return os.Chown(dir, uid, gid)
	}
	return fmt.Errorf("a user for PostgreSQL: %w", ErrUnavailable)
}

// as returns the command line that runs args as the chosen user: in the same
// process, and killed by the kernel should the benchmark be killed.
func (p *postgres) as(args ...string) []string {
	if p.user == "" {
		return append([]string{"env"}, args...)
	}
	return append([]string{"setpriv", "--reuid", p.user, "--regid", p.user, "--init-groups", "--pdeathsig", "KILL"}, args...)
}

// close stops the server without waiting for its clients.
func (p *postgres) close() error {
	if p.process == nil || !p.process.Running() {
		return nil
	}
	if err := p.process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	select {
	case <-p.process.Done():
		return nil
	case <-time.After(stopPatience):
		return p.process.Kill()
	}
}
