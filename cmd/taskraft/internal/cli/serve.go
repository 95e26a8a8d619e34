package cli

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/rpc"
)

const (
	// handOver is how long a planned stop may take to move leadership and end.
	handOver = 15 * time.Second
	// lastCalls is how long calls under way may then take to end.
	lastCalls = 2 * time.Second
)

// masterRun is a master that runs.
type masterRun struct {
	app    *app
	log    *slog.Logger
	node   *cluster.Node
	edge   *edge        // nil while the node is isolated
	traces *rpc.Tracing // nil: no spans
	failed chan error   // what ended the edge by itself
	addrs  edgeAddrs    // where it listens, with the real ports
	// advertised is the HTTP address that others are told.
	advertised string
	atOnce     chan struct{}
}

func (a *app) runMaster(ctx context.Context) error {
	m := &a.config.master
	log := a.logger()
	if err := checkLimits(); err != nil {
		return err
	}
	a.checkTimeZone(log)
	gogc, limit := tuneMemory(a.Env)
	planned, stop := context.WithCancel(ctx)
	defer stop()
	atOnce := make(chan struct{})
	defer onSignals(stop, func() { close(atOnce) }, os.Interrupt, syscall.SIGTERM)()

	doors, err := openDoors(ctx, edgeAddrs{grpc: m.grpcAddr, http: m.httpAddr})
	if err != nil {
		return err
	}
	r := &masterRun{app: a, log: log, failed: make(chan error, 2), addrs: doors.addrs(), atOnce: atOnce}
	cfg := m.clusterConfig(a.version)
	cfg.Logger = log
	traces, err := a.tracing(ctx, "master", m.name, log)
	if err != nil {
		return errors.Join(err, doors.close())
	}
	defer traces.Close()
	if p := traces.Tracer(); p != nil {
		r.traces = rpc.NewTracing(p)
		cfg.Steps = r.traces.Step
	}
	if m.joins() {
		cfg.Join = m.knock(log)
	}
	cfg.PushDialer = rpc.NewPushDialer(m.edgeConfig(r.traces, log))
	cfg.GRPC = cmp.Or(m.advertiseGRPC, boundAddress(m.grpcAddr, r.addrs.grpc))
	cfg.HTTP = cmp.Or(m.advertiseHTTP, boundAddress(m.httpAddr, r.addrs.http))
	log.Info("starting", "node", m.name, "version", a.version, "pid", os.Getpid(), "grpc", r.addrs.grpc, "raft", m.raftAddr,
		"http", r.addrs.http, "data", m.dataDir, "gomaxprocs", gomaxprocs(), "gogc", gogc, "gomemlimit", limit)
	if r.node, err = cluster.Start(planned, cfg); err != nil {
		return errors.Join(startFailure(m, err), doors.close())
	}
	r.serve(doors, cfg.HTTP)
	notifySystemd(log, daemon.SdNotifyReady)
	return r.run(planned)
}

// boundAddress is the configured address with the port that was really bound.
func boundAddress(configured, bound string) string {
	host, _, err := net.SplitHostPort(configured)
	if err != nil {
		return bound
	}
	_, port, _ := net.SplitHostPort(bound)
	return net.JoinHostPort(host, port)
}

// startFailure adds who holds the Raft port to an error of the node's start.
func startFailure(m *masterConfig, err error) error {
	if f, ok := errors.AsType[*cluster.Fault](err); ok && f.Kind == cluster.FaultBind {
		return bindFailure("raft-addr", m.raftAddr, f.Err)
	}
	return err
}

// run keeps the edge open, except while the node is isolated, until ctx or the
// node ends.
func (r *masterRun) run(ctx context.Context) error {
	for {
		isolated, changed := r.node.Isolated()
		if isolated && r.edge != nil {
			r.log.Warn("isolated: gRPC and HTTP are closed", "node", r.app.config.master.name)
			r.edge.close()
			r.edge = nil
		}
		if !isolated && r.edge == nil {
			doors, err := openDoors(ctx, r.addrs)
			if err != nil {
				return errors.Join(err, r.stop())
			}
			r.serve(doors, r.advertised)
			r.log.Info("gRPC and HTTP are open again", "node", r.app.config.master.name)
		}
		select {
		case <-changed:
		case <-r.node.Done():
			r.closeEdge()
			return r.node.Err()
		case err := <-r.failed:
			return errors.Join(err, r.stop())
		case <-ctx.Done():
			r.log.Info("stopping", "node", r.app.config.master.name)
			return r.stop()
		}
	}
}

// serve opens the edge.
func (r *masterRun) serve(d *doors, advertised string) {
	r.advertised = advertised
	r.edge = newEdge(r.node, &r.app.config.master, advertised, r.traces, r.log)
	r.edge.serve(d, func(err error) {
		select {
		case r.failed <- err:
		default:
		}
	})
}

func (r *masterRun) closeEdge() {
	if r.edge != nil {
		r.edge.close()
	}
}

// stop hands leadership over, ends the node and then the edge. A second signal
// ends the program at once.
func (r *masterRun) stop() error {
	notifySystemd(r.log, daemon.SdNotifyStopping)
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), handOver)
		defer cancel()
		err := r.node.Stop(ctx)
		if r.edge != nil {
			ctx, cancel := context.WithTimeout(context.Background(), lastCalls)
			defer cancel()
			r.edge.stop(ctx)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			r.log.Info("stopped", "node", r.app.config.master.name)
		}
		return err
	case <-r.atOnce:
		r.log.Warn("second signal: ending at once")
		return quietly(exitInterrupted)
	}
}

// notifySystemd tells the service manager; without one it does nothing.
func notifySystemd(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd is not told", "state", state, "err", err)
	}
}
