package cluster

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestConfigValidate(t *testing.T) {
	tests := []struct {
		id      string
		change  func(*Config)
		problem string // "": accepted
	}{
		{"ok", func(*Config) {}, ""},
		{"A13/no name", func(c *Config) { c.Name = "" }, `name: got ""`},
		{"A13/path", func(c *Config) { c.Name = "../x" }, `name: got "../x"`},
		{"A13/long", func(c *Config) { c.Name = strings.Repeat("n", 64) }, "name: got"},
		{"A08/bind", func(c *Config) { c.Bind = "foo" }, `raft address: got "foo", want host:port`},
		{"A08/port", func(c *Config) { c.Bind = ":99999" }, "raft address"},
		{"A11/unspecified", func(c *Config) { c.Advertise = "0.0.0.0:7401" }, "an address that peers can dial"},
		{"A14/own address", func(c *Config) { c.Advertise = "10.0.0.9:7401" }, "n1 is listed at 127.0.0.1:7401, but this node advertises 10.0.0.9:7401"},
		{"A14/names twice", func(c *Config) { c.Peers[1].Name = "n1" }, "n1 is listed twice"},
		{"A14/addresses twice", func(c *Config) { c.Peers[1].Raft = c.Peers[0].Raft }, "address 127.0.0.1:7401 is listed twice"},
		{"A14/two masters", func(c *Config) { c.Peers = c.Peers[:2] }, "two masters cannot lose one"},
		{"not listed", func(c *Config) { c.Name = "n9" }, `this node, "n9", is not on the list`},
		{"A16/heartbeat", func(c *Config) { c.Heartbeat = 10 * time.Millisecond }, "heartbeat: got 10ms, want 50ms to 1m0s"},
		{"A16/ttl", func(c *Config) { c.SessionTTL = 0 }, "session ttl: got 0s"},
		{"A18/snapshot bytes", func(c *Config) { c.SnapshotBytes = -1 }, "snapshot bytes: got -1"},
		{"no directory", func(c *Config) { c.DataDir = "" }, "data directory: missing"},
	}
	for _, tt := range tests {
		t.Run(tt.id, func(t *testing.T) {
			c := DefaultConfig()
			c.Name, c.DataDir, c.Bind, c.Logger = "n1", "data", "127.0.0.1:7401", slog.Default()
			c.Peers = []Peer{{"n1", "127.0.0.1:7401"}, {"n2", "127.0.0.1:7411"}, {"n3", "127.0.0.1:7421"}}
			tt.change(&c)
			got := errText(c.validate())
			if tt.problem == "" && got != "" || !strings.Contains(got, tt.problem) {
				t.Errorf("got %q, want %q", got, tt.problem)
			}
		})
	}
}

func TestConfigReportsAllProblemsAtOnce(t *testing.T) {
	c := DefaultConfig()
	c.Heartbeat, c.QueueDepth = 0, 0
	if got := errText(c.validate()); strings.Count(got, "\n") < 4 {
		t.Errorf("got only %q", got)
	}
}
