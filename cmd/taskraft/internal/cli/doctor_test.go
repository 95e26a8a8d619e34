package cli

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDoctorFindings spoils one thing at a time.
func TestDoctorFindings(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for name, c := range map[string]struct {
		spoil func(m *masterConfig) error
		want  string
		code  int
	}{
		"new directory": {func(m *masterConfig) error { m.dataDir = filepath.Join(m.dataDir, "new"); return nil }, "does not exist yet", 0},
		"no directory":  {func(m *masterConfig) error { m.dataDir = ""; return nil }, "healthy: no --data-dir given", 0},
		"B02 a file": {func(m *masterConfig) error {
			m.dataDir = filepath.Join(m.dataDir, "f")
			return os.WriteFile(m.dataDir, nil, 0o600)
		}, "is not a directory", 1},
		"B03 open to all": {func(m *masterConfig) error { return os.Chmod(m.dataDir, 0o777) }, "can be written by group or others", 1},
		"condemned": {func(m *masterConfig) error {
			return os.WriteFile(filepath.Join(m.dataDir, "condemned"), []byte("the table differs\n"), 0o600)
		}, "is not to be used: the table differs", 1},
		"no such parent":   {func(m *masterConfig) error { m.dataDir = filepath.Join(m.dataDir, "a", "b"); return nil }, "cannot be written", 1},
		"A09 port in use":  {func(m *masterConfig) error { m.grpcAddr = busy.Addr().String(); return nil }, "address in use", 1},
		"A11 not our host": {func(m *masterConfig) error { m.raftAddr = "192.0.2.1:7401"; return nil }, "is no address of this machine", 1},
		"nothing":          {func(*masterConfig) error { return nil }, "durable write", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			a := &app{IO: IO{Out: &out}}
			a.config.output = "table"
			m := &a.config.master
			m.dataDir, m.raftTiming = t.TempDir(), "wan"
			m.grpcAddr, m.raftAddr, m.httpAddr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
			if err := c.spoil(m); err != nil {
				t.Fatal(err)
			}
			var code int
			if err := a.printFindings(a.examine(t.Context())); err != nil {
				code = report(&out, err)
			}
			if code != c.code || !strings.Contains(out.String(), c.want) {
				t.Errorf("ended with %d, want %d and %q in:\n%s", code, c.code, c.want, out.String())
			}
		})
	}
}
