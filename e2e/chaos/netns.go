package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

// spaces are network namespaces, one for each party, at a bridge in ours. What one
// may not send another is sent to an Ethernet address that nobody has: it is lost, in
// one direction, as on a broken wire, and no connection learns of it.
type spaces struct {
	number  int // of the cluster: it has a subnet, a bridge and link names of its own
	parties []string
	files   map[string]*os.File // nil: ours
	ours    *os.File
	slowed  bool
}

// nobody is an Ethernet address that no party has.
const nobody = "02:00:00:00:ff:ff"

func newSpaces(number int, masters []*proc.Master) (s *spaces, err error) {
	s = &spaces{number: number, files: make(map[string]*os.File)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.ours, err = os.Open("/proc/self/ns/net"); err != nil {
		return s, err
	}
	for _, m := range masters {
		s.parties = append(s.parties, m.Name)
	}
	s.parties = append(s.parties, side, here)
	err = ip(nil,
		"link add "+s.bridge()+" address "+s.mac(here)+" type bridge",
		"addr add "+s.addr(here)+"/24 dev "+s.bridge(),
		"link set "+s.bridge()+" up")
	if err != nil {
		return s, err
	}
	for i, p := range s.parties[:len(s.parties)-1] {
		if s.files[p], err = proc.NewNetwork(); err != nil {
			return s, err
		}
		outer := fmt.Sprintf("v%d-%d", number, i)
		err = ip(s.files[p],
			"link set lo up",
			fmt.Sprintf("link add eth0 address %s type veth peer name %s netns /proc/%d/fd/%d", s.mac(p), outer, os.Getpid(), s.ours.Fd()),
			"addr add "+s.addr(p)+"/24 dev eth0",
			"link set eth0 up")
		if err == nil {
			err = ip(nil, "link set "+outer+" master "+s.bridge(), "link set "+outer+" up")
		}
		if err != nil {
			return s, err
		}
	}
	return s, s.heal()
}

func (s *spaces) name() string { return "network namespaces" }

func (s *spaces) bridge() string { return fmt.Sprintf("br%d", s.number) }

func (s *spaces) host(party string) int { return slices.Index(s.parties, party) + 1 }

func (s *spaces) addr(party string) string {
	return fmt.Sprintf("10.71.%d.%d", s.number, s.host(party))
}

func (s *spaces) mac(party string) string {
	return fmt.Sprintf("02:00:00:00:%02x:%02x", s.number, s.host(party))
}

func (s *spaces) device(party string) string {
	if party == here {
		return s.bridge()
	}
	return "eth0"
}

func (s *spaces) home(party string) *os.File { return s.files[party] }

func (s *spaces) place(m *proc.Master) error {
	m.Net = s.files[m.Name]
	m.GRPC, m.Raft, m.HTTP = s.addr(m.Name)+":7400", s.addr(m.Name)+":7401", s.addr(m.Name)+":7402"
	return nil
}

func (s *spaces) block(from, to []string) error {
	for _, a := range from {
		var lines []string
		for _, b := range to {
			lines = append(lines, s.neighbour(a, b, nobody))
		}
		if err := ip(s.files[a], lines...); err != nil {
			return err
		}
	}
	return nil
}

// neighbour says at which Ethernet address one party has another.
func (s *spaces) neighbour(at, of, mac string) string {
	return fmt.Sprintf("neigh replace %s lladdr %s dev %s nud permanent", s.addr(of), mac, s.device(at))
}

func (s *spaces) heal() error {
	for _, a := range s.parties {
		var lines []string
		for _, b := range s.parties {
			if a != b {
				lines = append(lines, s.neighbour(a, b, s.mac(b)))
			}
		}
		if err := ip(s.files[a], lines...); err != nil {
			return err
		}
	}
	if !s.slowed {
		return nil
	}
	s.slowed = false
	return s.eachMaster("tc", "qdisc", "del", "dev", "eth0", "root")
}

func (s *spaces) slow(delay time.Duration, loss float64) error {
	s.slowed = true
	err := s.eachMaster("tc", "qdisc", "replace", "dev", "eth0", "root", "netem",
		"delay", fmt.Sprintf("%dus", delay.Microseconds()), "loss", fmt.Sprintf("%.1f%%", 100*loss))
	if err != nil {
		s.slowed = false
		return fmt.Errorf("%w: tc has no netem here", errors.ErrUnsupported)
	}
	return nil
}

func (s *spaces) eachMaster(command string, args ...string) error {
	for _, p := range s.parties[:len(s.parties)-2] {
		if err := proc.Within(s.files[p], exec.Command(command, args...).Run); err != nil {
			return fmt.Errorf("%s %s: %w", command, strings.Join(args, " "), err)
		}
	}
	return nil
}

func (s *spaces) dial(ctx context.Context, party, addr string) (conn net.Conn, err error) {
	err = proc.Within(s.files[party], func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", addr) // one address: the socket is made here
		return err
	})
	return conn, err
}

// close lets go of the namespaces; their processes must have ended.
func (s *spaces) close() error {
	var errs []error
	for _, f := range s.files {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	if s.ours != nil {
		errs = append(errs, s.ours.Close())
	}
	return errors.Join(errs...)
}

// ip runs the lines of a batch in a network namespace.
func ip(ns *os.File, lines ...string) error {
	var out bytes.Buffer
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n"))
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := proc.Within(ns, cmd.Run); err != nil {
		return fmt.Errorf("ip: %w: %.300s", err, strings.TrimSpace(out.String()))
	}
	return nil
}
