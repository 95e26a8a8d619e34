package peer

import (
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/nats-io/nats-server/v2/server"
)

// NATSServerCommand is the first argument that makes the benchmark's binary a
// NATS server instead.
const NATSServerCommand = "nats-server"

// RunNATSServer is one server of a NATS cluster, in this process, until SIGTERM.
func RunNATSServer(args []string) error {
	opts := &server.Options{
		Host: "127.0.0.1", JetStream: true, NoSigs: true, DisableJetStreamBanner: true,
		Cluster: server.ClusterOpts{Name: "bench", Host: "127.0.0.1"},
	}
	var routes string
	flags := flag.NewFlagSet(NATSServerCommand, flag.ContinueOnError)
	flags.StringVar(&opts.ServerName, "name", "", "server name")
	flags.StringVar(&opts.StoreDir, "store", "", "data directory")
	flags.StringVar(&opts.LogFile, "log", "", "log file")
	flags.IntVar(&opts.Port, "port", 0, "client port")
	flags.IntVar(&opts.Cluster.Port, "cluster-port", 0, "port for the other servers")
	flags.StringVar(&routes, "routes", "", "addresses of all servers")
	flags.BoolVar(&opts.SyncAlways, "sync-always", false, "fsync every write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for route := range strings.SplitSeq(routes, ",") {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats-route", Host: route})
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("configure the NATS server: %w", err)
	}
	s.ConfigureLogger()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		s.Shutdown()
	}()
	s.Start()
	s.WaitForShutdown()
	return nil
}
