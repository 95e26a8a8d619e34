package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/rpc"
	"github.com/taskraft/taskraft/web"
)

// edgeAddrs are where clients find a master.
type edgeAddrs struct{ grpc, http string }

// doors are a master's open listeners for clients.
type doors struct{ grpc, http net.Listener }

func openDoors(ctx context.Context, at edgeAddrs) (*doors, error) {
	grpc, err := listen(ctx, "grpc-addr", at.grpc)
	if err != nil {
		return nil, err
	}
	http, err := listen(ctx, "http-addr", at.http)
	if err != nil {
		return nil, errors.Join(err, grpc.Close())
	}
	return &doors{grpc, http}, nil
}

func (d *doors) addrs() edgeAddrs { return edgeAddrs{d.grpc.Addr().String(), d.http.Addr().String()} }

func (d *doors) close() error { return errors.Join(d.grpc.Close(), d.http.Close()) }

// edge is what clients talk to.
type edge struct {
	rpc *rpc.Server
	web *web.Server
}

// edgeConfig is the part of the settings that the gRPC edge needs.
func (m *masterConfig) edgeConfig(traces *rpc.Tracing, log *slog.Logger) rpc.Config {
	cfg := rpc.DefaultConfig()
	cfg.MaxPayload, cfg.MaxResult, cfg.Logger = int(m.maxPayload), int(m.maxResult), log
	cfg.Tracing = traces
	return cfg
}

func newEdge(node *cluster.Node, m *masterConfig, advertised string, traces *rpc.Tracing, log *slog.Logger) *edge {
	e := &edge{rpc: rpc.NewServer(node, m.edgeConfig(traces, log))}
	e.web = web.NewServer(web.Config{
		Node: node, Conn: e.rpc.Local(), Name: m.name, Hosts: m.httpHosts, Advertised: advertised,
		MaxPayload: int(max(m.maxPayload, m.maxResult)), Logger: log,
	})
	return e
}

// serve answers until the edge is closed; failed hears what ends it by itself.
func (e *edge) serve(d *doors, failed func(error)) {
	run := func(what string, serve func(net.Listener) error, l net.Listener) {
		if err := serve(l); err != nil {
			failed(fmt.Errorf("serve %s: %w", what, err))
		}
	}
	go run("gRPC", e.rpc.Serve, d.grpc)
	go run("HTTP", e.web.Serve, d.http)
}

// stop lets calls end until ctx is done. HTTP comes first: it calls gRPC's handlers.
func (e *edge) stop(ctx context.Context) {
	e.web.Stop(ctx)
	e.rpc.Stop(ctx)
}

func (e *edge) close() {
	e.web.Close()
	e.rpc.Close()
}
