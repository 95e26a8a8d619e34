package cli

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
)

// masterConfig is the settings of `taskraft master`.
type masterConfig struct {
	name, dataDir                        string
	peers, join                          []string
	rejoin                               bool
	grpcAddr, raftAddr                   string
	httpAddr                             string
	httpHosts                            []string
	advertiseGRPC                        string
	advertiseHTTP                        string
	advertiseRaft                        string
	raftTiming                           string
	logStore                             string
	observedDeath                        bool
	sessionTTL                           time.Duration
	snapshotBytes, tailBytes, eventBytes int64
	maxPayload, maxResult                int64
	insecure, allowTwoNodes              bool

	// Rows that problems of several settings name.
	grpcRow, raftRow, httpRow, peersRow, joinRow *settings.Row
	adGRPCRow, adRaftRow, adHTTPRow              *settings.Row
}

// raftTimings are the values of --raft-timing: HeartbeatTimeout, ElectionTimeout
// and LeaderLeaseTimeout alike.
var raftTimings = map[string]time.Duration{
	"default": 500 * time.Millisecond,
	"lan":     250 * time.Millisecond,
	"wan":     2 * time.Second,
}

const nameForm = `[a-z0-9][a-z0-9-]{0,62}`

func (m *masterConfig) rows() settings.Table { return concat(m.placeRows(), m.tuningRows()) }

// placeRows say who the master is and where.
func (m *masterConfig) placeRows() settings.Table {
	m.peersRow = setting("master.peers", settings.Row{
		Flag: "peers", Arg: "NAME=HOST:PORT,...", List: true, Value: settings.List(&m.peers, checkPeer),
		Doc: "form a cluster: every master's name and Raft address, the same list on each of them", Example: "n1=127.0.0.1:7401",
	})
	m.joinRow = setting("master.join", settings.Row{
		Flag: "join", Arg: "HOST:PORT,...", List: true, Value: settings.List(&m.join, settings.Dial),
		Doc: "enter a running cluster: the gRPC address of any of its masters", Example: "127.0.0.1:7400",
	})
	m.grpcRow = setting("master.grpc_addr", settings.Row{
		Flag: "grpc-addr", Arg: "HOST:PORT", Default: "127.0.0.1:7400", Value: settings.Text(&m.grpcAddr, settings.Listen),
		Doc: "where workers and clients connect", Example: "127.0.0.1:7400",
	})
	m.raftRow = setting("master.raft_addr", settings.Row{
		Flag: "raft-addr", Arg: "HOST:PORT", Default: "127.0.0.1:7401", Value: settings.Text(&m.raftAddr, settings.Listen),
		Doc: "where the other masters connect", Example: "127.0.0.1:7401",
	})
	m.httpRow = setting("master.http_addr", settings.Row{
		Flag: "http-addr", Arg: "HOST:PORT", Default: "127.0.0.1:7402", Value: settings.Text(&m.httpAddr, settings.Listen),
		Doc: "where the JSON API, the health checks and the metrics answer", Example: "127.0.0.1:7402",
	})
	m.adGRPCRow = setting("master.advertise_grpc", settings.Row{
		Flag: "advertise-grpc", Arg: "HOST:PORT", Value: settings.Text(&m.advertiseGRPC, settings.Dial),
		Doc: "the gRPC address that others are told (default --grpc-addr)", Example: "n1.example:7400",
	})
	m.adRaftRow = setting("master.advertise_raft", settings.Row{
		Flag: "advertise-raft", Arg: "HOST:PORT", Value: settings.Text(&m.advertiseRaft, settings.Dial),
		Doc: "the Raft address that others dial (default this master's line of --peers, or --raft-addr)", Example: "n1.example:7401",
	})
	m.adHTTPRow = setting("master.advertise_http", settings.Row{
		Flag: "advertise-http", Arg: "HOST:PORT", Value: settings.Text(&m.advertiseHTTP, settings.Dial),
		Doc: "the HTTP address that others are told (default --http-addr)", Example: "n1.example:7402",
	})
	return settings.Table{
		setting("master.name", settings.Row{
			Flag: "name", Arg: "NAME", Required: true, Value: settings.Text(&m.name, settings.Match("a name", nameForm)),
			Doc: "this master's name, one of --peers", Example: "n1",
		}),
		setting("master.data_dir", settings.Row{
			Flag: "data-dir", Arg: "DIR", Required: true, Value: settings.Text(&m.dataDir, checkPath),
			Doc: "where its log and snapshots lie", Example: "/var/lib/taskraft",
		}),
		m.peersRow, m.joinRow,
		setting("master.rejoin", settings.Row{
			Flag: "rejoin", Value: settings.Switch(&m.rejoin),
			Doc: "after the loss of its disk: take the place that a member of this name had",
		}),
		m.grpcRow, m.raftRow, m.httpRow,
		m.adGRPCRow, m.adRaftRow, m.adHTTPRow,
		setting("master.http_hosts", settings.Row{
			Flag: "http-host", Arg: "NAME,...", List: true, Value: settings.List(&m.httpHosts, checkHost),
			Doc: "further names by which browsers reach the HTTP address, as behind a proxy", Example: "tasks.example",
		}),
	}
}

// tuningRows say how it behaves.
func (m *masterConfig) tuningRows() settings.Table {
	defaults := cluster.DefaultConfig()
	return settings.Table{
		setting("master.raft_timing", settings.Row{
			Flag: "raft-timing", Arg: "default|lan|wan", Default: "default", Value: settings.Text(&m.raftTiming, settings.OneOf("default", "lan", "wan")),
			Doc: "election and lease time: 500ms, 250ms or 2s; the same on every master",
		}),
		setting("master.observed_death", settings.Row{
			Flag: "observed-death", Default: "true", Value: settings.Switch(&m.observedDeath),
			Doc: "elect at once when the leader's process is seen to have died",
		}),
		setting("master.session_ttl", settings.Row{
			Flag: "session-ttl", Arg: "DURATION", Default: settings.ShortDuration(defaults.SessionTTL), Value: settings.Duration(&m.sessionTTL, time.Second, 24*time.Hour),
			Doc: "how long a silent worker keeps its tasks, unless it asks for another time",
		}),
		setting("master.log_store", settings.Row{
			Flag: "log-store", Arg: "wal|bolt", Value: settings.Text(&m.logStore, settings.OneOf("wal", "bolt")),
			Doc: "what keeps the log of a new data directory: segment files (wal), or bbolt as the votes (default wal; later what the directory has)",
		}),
		setting("master.snapshot_bytes", settings.Row{
			Flag: "snapshot-bytes", Arg: "SIZE", Default: settings.FormatSize(defaults.SnapshotBytes), Value: settings.Size(&m.snapshotBytes, 64<<10, 64<<30),
			Doc: "how much log makes the next snapshot; an eighth less for each further master, so that they take turns",
		}),
		setting("master.tail_bytes", settings.Row{
			Flag: "tail-bytes", Arg: "SIZE", Default: settings.FormatSize(defaults.TailBytes), Value: settings.Size(&m.tailBytes, 1<<20, 64<<30),
			Doc: "how much log is kept behind a snapshot for masters that were away",
		}),
		setting("master.event_bytes", settings.Row{
			Flag: "event-bytes", Arg: "SIZE", Default: settings.FormatSize(defaults.EventBytes), Value: settings.Size(&m.eventBytes, 0, 64<<30),
			Doc: "how much is kept on disk of what happened, for taskraft events; 0B: only the newest, in memory",
		}),
		setting("master.max_payload", settings.Row{
			Flag: "max-payload", Arg: "SIZE", Default: "64KiB", Value: settings.Size(&m.maxPayload, 1<<10, 1<<20),
			Doc: "the largest payload of a task; the same on every master",
		}),
		setting("master.max_result", settings.Row{
			Flag: "max-result", Arg: "SIZE", Default: "64KiB", Value: settings.Size(&m.maxResult, 1<<10, 1<<20),
			Doc: "the largest result of a task; the same on every master",
		}),
		setting("master.insecure", settings.Row{
			Flag: "insecure", Value: settings.Switch(&m.insecure),
			Doc: "listen in plain text on addresses that other machines reach",
		}),
		setting("master.allow_two_nodes", settings.Row{
			Flag: "allow-two-nodes", Value: settings.Switch(&m.allowTwoNodes),
			Doc: "accept two masters, of which neither may fail",
		}),
	}
}

func checkPath(s string) error {
	if s == "" || strings.ContainsRune(s, 0) {
		return &settings.Invalid{Problem: "not a path", Want: "a directory"}
	}
	return nil
}

func checkPeer(s string) error {
	bad := &settings.Invalid{Problem: "not a peer", Want: "NAME=HOST:PORT"}
	name, addr, found := strings.Cut(s, "=")
	if !found {
		return bad
	}
	if err := settings.Match("a name", nameForm)(name); err != nil {
		return err
	}
	return settings.Dial(addr)
}

func checkHost(s string) error {
	if s == "" || strings.ContainsAny(s, ":/ ") {
		return &settings.Invalid{Problem: "not a host name", Want: "a name without a port"}
	}
	return nil
}

func (a *app) masterCommand() *cobra.Command {
	m := &a.config.master
	return a.command(commandSpec{
		use:   "master --name NAME --data-dir DIR --peers NAME=HOST:PORT,… | --join HOST:PORT [flags]",
		short: "Run one master",
		long: `Run one master of a cluster until SIGTERM or SIGINT, which hands leadership over
first; a second signal ends it at once. On first start all masters named by --peers
must come up once; from then on a majority is enough. With --join a master enters a
running cluster instead. A master that has data needs neither, and ignores --join.
With --rejoin a master whose disk was lost takes its old place as a new member.`,
		example: `  taskraft master --name n1 --data-dir data/n1 --peers n1=127.0.0.1:7401
  taskraft master --name n2 --data-dir data/n2 --join 127.0.0.1:7400 --grpc-addr 127.0.0.1:7410 --raft-addr 127.0.0.1:7411`,
		rows:  concat(m.rows(), a.config.logRows()),
		check: func() []settings.Problem { return a.checkMaster(net.DefaultResolver) },
		run:   func(ctx context.Context, _ []string) error { return a.runMaster(ctx) },
	})
}

// peerList parses what checkPeer accepted.
func (m *masterConfig) peerList() []cluster.Peer {
	var peers []cluster.Peer
	for _, s := range m.peers {
		name, addr, _ := strings.Cut(s, "=")
		peers = append(peers, cluster.Peer{Name: name, Raft: addr})
	}
	return peers
}

// own returns this master's Raft address in --peers, "" if it is not there.
func (m *masterConfig) own() string {
	for _, p := range m.peerList() {
		if p.Name == m.name {
			return p.Raft
		}
	}
	return ""
}

func (m *masterConfig) clusterConfig(version string) cluster.Config {
	cfg := cluster.DefaultConfig()
	cfg.Name, cfg.DataDir, cfg.Peers, cfg.Version = m.name, m.dataDir, m.peerList(), version
	cfg.Bind = m.raftAddr
	cfg.Advertise = m.advertiseRaft
	if cfg.Advertise == "" {
		cfg.Advertise = m.own()
	}
	cfg.Heartbeat = raftTimings[m.raftTiming]
	cfg.LogStore = m.logStore
	cfg.ObservedDeath = m.observedDeath
	cfg.AllowTwo = m.allowTwoNodes
	cfg.Rejoin = m.rejoin
	cfg.SessionTTL = m.sessionTTL
	cfg.SnapshotBytes, cfg.TailBytes, cfg.EventBytes = m.snapshotBytes, m.tailBytes, m.eventBytes
	return cfg
}

// quoted is a value for a Problem's Got.
func quoted(s string) string { return fmt.Sprintf("%q", s) }
