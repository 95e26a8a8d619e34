package cli

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"time"

	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
)

// resolver looks names up; tests have their own.
type resolver interface {
	LookupHost(ctx context.Context, host string) ([]string, error)
}

// checkMaster looks at the settings of a master together.
func (a *app) checkMaster(dns resolver) []settings.Problem {
	m := &a.config.master
	var out []settings.Problem
	add := func(r *settings.Row, problem, got, want, do string) {
		out = append(out, settings.Problem{Where: r.Where(), Problem: problem, Got: got, Want: want, Do: do})
	}
	m.checkListen(add)
	m.checkJoin(add)
	m.checkPeers(add)
	m.checkAdvertised(add, dns)
	if n := len(m.peers); n == 2 && m.allowTwoNodes || n > 2 && n%2 == 0 {
		a.warn("%s: %d masters survive no more failures than %d: an odd number is better", m.peersRow.Where(), n, n-1)
	}
	return out
}

type addProblem func(r *settings.Row, problem, got, want, do string)

func (m *masterConfig) checkListen(add addProblem) {
	for _, l := range []struct {
		row  *settings.Row
		addr string
	}{{m.grpcRow, m.grpcAddr}, {m.raftRow, m.raftAddr}, {m.httpRow, m.httpAddr}} {
		if l.addr == "" || m.insecure || settings.IsLoopback(l.addr) {
			continue
		}
		host, port, _ := net.SplitHostPort(l.addr)
		if host == "" {
			host = "0.0.0.0"
		}
		add(l.row, "refusing plaintext on "+host, quoted(l.addr), "a loopback address", "bind 127.0.0.1:"+port+", or say --insecure")
	}
	if m.grpcAddr != "" && m.grpcAddr == m.raftAddr && !hasPortZero(m.grpcAddr) {
		add(m.raftRow, "the same address as --grpc-addr", quoted(m.raftAddr), "an address of its own", "choose another port")
	}
	if m.httpAddr != "" && (m.httpAddr == m.grpcAddr || m.httpAddr == m.raftAddr) && !hasPortZero(m.httpAddr) {
		add(m.httpRow, "the same address as --grpc-addr or --raft-addr", quoted(m.httpAddr), "an address of its own", "choose another port")
	}
}

func hasPortZero(addr string) bool {
	_, port, _ := net.SplitHostPort(addr)
	return port == "0"
}

func (m *masterConfig) checkPeers(add addProblem) {
	peers := m.peerList()
	names, addrs := make(map[string]string), make(map[string]string)
	for _, p := range peers {
		if _, twice := names[p.Name]; twice {
			add(m.peersRow, "name "+p.Name+" is listed twice", quoted(p.Name+"="+p.Raft), "each name once", "give each master a name of its own")
		}
		if other, twice := addrs[p.Raft]; twice && other != p.Name {
			add(m.peersRow, "address "+p.Raft+" is listed twice", other+" and "+p.Name, "each address once", "give each master an address of its own")
		}
		names[p.Name], addrs[p.Raft] = p.Raft, p.Name
	}
	if len(peers) == 2 && !m.allowTwoNodes {
		add(m.peersRow, "two masters cannot lose one", "2 masters", "1, 3 or 5", "list one or three, or say --allow-two-nodes")
	}
	own := m.own()
	switch {
	case len(peers) == 0 || m.name == "":
	case own == "":
		add(m.peersRow, "this master, "+m.name+", is not on the list", fmt.Sprintf("%q", sortedKeys(names)), m.name+"=HOST:PORT", "add it, or mend --name")
	case m.advertiseRaft != "" && m.advertiseRaft != own:
		add(m.peersRow, m.name+" is listed with another address than it advertises", own+" and "+m.advertiseRaft, "the same", "make them equal, or leave --advertise-raft out")
	case m.advertiseRaft == "" && differentPlaces(own, m.raftAddr):
		add(m.peersRow, m.name+" is listed with another address than it listens on", own+" and "+m.raftAddr, "the same", "make them equal, or confirm with --advertise-raft "+own)
	}
}

// differentPlaces tells whether two addresses cannot be the same one: hosts that
// are names may be anything, and so may the address of a listener on every interface.
func differentPlaces(peer, listen string) bool {
	h1, p1, err1 := net.SplitHostPort(peer)
	h2, p2, err2 := net.SplitHostPort(listen)
	if err1 != nil || err2 != nil || p2 == "0" {
		return false
	}
	ip1, ip2 := net.ParseIP(h1), net.ParseIP(h2)
	if h1 == h2 {
		return p1 != p2
	}
	return ip1 != nil && ip2 != nil && !ip2.IsUnspecified() && (p1 != p2 || !ip1.Equal(ip2))
}

func (m *masterConfig) checkAdvertised(add addProblem, dns resolver) {
	remote := ""
	for _, p := range m.peerList() {
		if p.Name != m.name && !settings.IsLoopback(p.Raft) {
			remote = p.Name
		}
	}
	for _, addr := range m.join {
		if !settings.IsLoopback(addr) {
			remote = addr
		}
	}
	for _, x := range []struct {
		row, listens         *settings.Row
		advertised, listened string
	}{{m.adGRPCRow, m.grpcRow, m.advertiseGRPC, m.grpcAddr}, {m.adHTTPRow, m.httpRow, m.advertiseHTTP, m.httpAddr}} {
		if x.advertised == "" && x.listened != "" && settings.IsUnspecified(x.listened) {
			add(x.row, "missing, and --"+x.listens.Flag+" is every interface", quoted(x.listened), "the address that clients reach", "say --"+x.row.Flag+" HOST:PORT")
		}
	}
	grpc, raft, http := cmp.Or(m.advertiseGRPC, m.grpcAddr), cmp.Or(m.advertiseRaft, m.own()), cmp.Or(m.advertiseHTTP, m.httpAddr)
	if raft == "" && len(m.join) > 0 {
		raft = m.raftAddr
	}
	for _, ad := range []struct {
		row   *settings.Row
		addr  string
		given bool
	}{{m.adGRPCRow, grpc, m.advertiseGRPC != ""}, {m.adRaftRow, raft, m.advertiseRaft != ""}, {m.adHTTPRow, http, m.advertiseHTTP != ""}} {
		host, _, err := net.SplitHostPort(ad.addr)
		if err != nil {
			continue
		}
		if remote != "" && settings.IsLoopback(ad.addr) {
			add(ad.row, "peers cannot reach "+host, quoted(ad.addr), "an address that "+remote+" reaches", "say --"+ad.row.Flag+" HOST:PORT")
		}
		if ad.given && !resolves(dns, host) {
			add(ad.row, "cannot resolve "+host, quoted(ad.addr), "a known host", "mend the name, or the name service")
		}
	}
}

func resolves(dns resolver, host string) bool {
	if net.ParseIP(host) != nil {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	addrs, err := dns.LookupHost(ctx, host)
	return err == nil && len(addrs) > 0
}
