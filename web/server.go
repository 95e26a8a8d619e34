package web

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/web/api"
	"github.com/taskraft/taskraft/web/dashboard"
	"github.com/taskraft/taskraft/web/health"
	"github.com/taskraft/taskraft/web/metrics"
)

// Limits of the transport.
const (
	headersWithin = 5 * time.Second
	idleFor       = 2 * time.Minute
	maxHeaders    = 16 << 10
	maxConns      = 4096
)

// Config is what the HTTP side needs.
type Config struct {
	// Node is the master; Conn calls its API without a network.
	Node *cluster.Node
	Conn grpc.ClientConnInterface
	// Name of the master.
	Name string
	// Hosts are further names under which clients reach this master. Loopback, the
	// address that a connection came in on and Advertised are always accepted; any
	// other Host is refused, so that no name of an attacker leads a browser here.
	Hosts      []string
	Advertised string
	// MaxPayload is the largest payload or result in bytes that the API accepts.
	MaxPayload int
	Logger     *slog.Logger
}

// Server answers HTTP for one master.
type Server struct {
	http  *http.Server
	api   *api.Handler
	pages *dashboard.Handler
}

// NewServer returns a server; Serve starts it.
func NewServer(cfg Config) *Server {
	calls := api.New(api.Config{
		Conn: cfg.Conn, Leader: cfg.Node.Leader, Name: cfg.Name, MaxPayload: cfg.MaxPayload,
	})
	mux := http.NewServeMux()
	mux.Handle("/", calls)
	checks := health.New(cfg.Node)
	mux.HandleFunc("GET /livez", checks.Live)
	mux.HandleFunc("GET /readyz", checks.Ready)
	mux.Handle("GET /metrics", metrics.Handler(cfg.Node))
	pages := dashboard.New(dashboard.Config{Node: cfg.Node, Conn: cfg.Conn, API: calls, Name: cfg.Name, Logger: cfg.Logger})
	mux.Handle("/ui/", pages)
	mux.Handle("GET /{$}", http.RedirectHandler("/ui/", http.StatusSeeOther))
	g := newGuard(cfg)
	return &Server{api: calls, pages: pages, http: &http.Server{
		Handler:           g.around(mux),
		ReadHeaderTimeout: headersWithin,
		IdleTimeout:       idleFor,
		MaxHeaderBytes:    maxHeaders,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
	}}
}

// Serve answers on l until Stop or Close; more than a few thousand connections at a
// time are closed at once.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(&capped{Listener: l, most: maxConns})
	if err == http.ErrServerClosed {
		return nil
	}
	return err
}

// Stop lets running requests end until ctx is done, then closes every connection.
func (s *Server) Stop(ctx context.Context) {
	s.pages.Close()                  // open pages would wait for ever
	if s.http.Shutdown(ctx) != nil { // some did not end in time
		s.Close()
	}
	s.api.Close()
}

// Close closes the listener and every connection at once.
func (s *Server) Close() {
	_ = s.http.Close() // a listener that is closed already
	s.pages.Close()
	s.api.Close()
}
