package clustersim

import (
	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/rpc"
)

// serve keeps the gRPC edge of a process open, except while its node is isolated, as
// the binary does, until the process ends.
func (m *master) serve(l *life, n *cluster.Node) {
	var edge *rpc.Server
	end := func() {
		if edge != nil {
			edge.Close()
		}
		edge = nil
	}
	defer end()
	for {
		isolated, changed := n.Isolated()
		if isolated {
			end()
		} else if edge == nil {
			listener, err := m.net.listen(m.api, l.apiBoot)
			if err != nil {
				return // the process has ended
			}
			cfg := rpc.DefaultConfig()
			cfg.Logger = m.log
			open := rpc.NewServer(n, cfg)
			m.wg.Go(func() { _ = open.Serve(listener) }) // until it is closed, or the process's end closes the listener
			edge = open
		}
		select {
		case <-changed:
		case <-n.Done():
			return
		case <-l.disk.dead:
			return
		}
	}
}
