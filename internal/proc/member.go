package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Join starts one more master, which enters the running cluster by itself.
func (c *Cluster) Join(name string) (*Master, error) {
	ports, err := FreePorts(3)
	if err != nil {
		return nil, err
	}
	m := &Master{
		Name: name, GRPC: loopback(ports[0]), Raft: loopback(ports[1]), HTTP: loopback(ports[2]),
		cluster: c, guest: true, enter: []string{"--join", strings.Join(c.Addrs(), ",")},
	}
	if err := m.Start(); err != nil {
		return nil, err
	}
	c.masters = append(c.masters, m)
	return m, nil
}

// Wipe removes the data of a master that does not run; it starts again with --rejoin.
func (m *Master) Wipe() error {
	if m.Running() {
		return fmt.Errorf("wipe %s: it runs", m.Name)
	}
	m.Rejoin()
	return os.RemoveAll(filepath.Join(m.cluster.dir, m.Name))
}

// Rejoin has the master start with --rejoin from now on: its data is gone.
func (m *Master) Rejoin() {
	m.enter = []string{"--peers", m.cluster.peers(), "--rejoin"}
	if m.guest {
		m.enter = []string{"--join", strings.Join(m.cluster.Addrs(), ","), "--rejoin"}
	}
}

// Forget takes a master that was removed from the cluster off the list.
func (c *Cluster) Forget(m *Master) error {
	c.masters = slices.DeleteFunc(c.masters, func(o *Master) bool { return o == m })
	return m.close()
}
