package cluster

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestRaftLog(t *testing.T) {
	var b bytes.Buffer
	l := newRaftLog(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelInfo})))
	l.Info("entering follower state", "follower", "n1")
	l.Warn("heartbeat timeout reached, starting election")
	if b.Len() > 0 {
		t.Errorf("Raft's account of elections is not for operators: %s", &b)
	}
	for range 3 {
		l.Named("x").With("peer", "n2").Error("failed to heartbeat to", "servers", hclog.Fmt("%+v", []int{1, 2}), "odd")
	}
	got := b.String()
	if strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") {
		t.Errorf("a repeated error must give one warning, got:\n%s", got)
	}
	if !strings.Contains(got, "peer=n2") || !strings.Contains(got, `servers="[1 2]"`) || strings.Contains(got, "odd") {
		t.Errorf("attributes are wrong: %s", got)
	}
}
