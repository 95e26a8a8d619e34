package cli

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode/utf16"
)

// good are flags of a master that would start.
func good(t *testing.T, more ...string) []string {
	t.Helper()
	return append([]string{
		"master", "--name", "n1", "--data-dir", filepath.Join(t.TempDir(), "data"),
		"--peers", "n1=127.0.0.1:7401", "--grpc-addr", "127.0.0.1:0", "--raft-addr", "127.0.0.1:7401",
		"--http-addr", "127.0.0.1:0",
	}, more...)
}

// with replaces the value of flags in a good master's arguments.
func with(t *testing.T, pairs ...string) []string {
	t.Helper()
	args := good(t)
	for i := 0; i < len(pairs); i += 2 {
		found := false
		for j := range args {
			if args[j] == pairs[i] {
				args[j+1], found = pairs[i+1], true
			}
		}
		if !found {
			args = append(args, pairs[i], pairs[i+1])
		}
	}
	return args
}

// TestBadFlags holds the rows of settings given as flags: each is refused with
// exit code 2 before anything is opened, bound or written.
func TestBadFlags(t *testing.T) {
	const peers3 = "n1=127.0.0.1:7401,n2=127.0.0.1:7411,n3=127.0.0.1:7421"
	tests := []struct {
		row, name string
		args      []string
		want      []string
	}{
		{"A01", "unknown flag", with(t, "--dta-dir", "x"), []string{"unknown flag --dta-dir (did you mean --data-dir?)"}},
		{"A01", "unknown flag of a client command", []string{"task", "list", "--stat", "dead"}, []string{"unknown flag --stat (did you mean --state?)"}},
		{"A01", "unknown letter", []string{"task", "list", "-z"}, []string{"unknown flag -z"}},
		{"A04", "duplicate flag", good(t, "--name", "n2"), []string{"--name: given 2 times", "arguments 2 and 14", `"n1" and "n2"`}},
		{"A08", "port too high", with(t, "--grpc-addr", ":99999"), []string{"--grpc-addr", "host:port", `":99999"`}},
		{"A08", "negative port", with(t, "--grpc-addr", ":-1"), []string{"--grpc-addr", "host:port"}},
		{"A08", "no port", with(t, "--grpc-addr", "foo"), []string{"--grpc-addr", "host:port"}},
		{"A08", "address without port", with(t, "--raft-addr", "1.2.3.4"), []string{"--raft-addr", "host:port"}},
		{"A08", "open bracket", with(t, "--grpc-addr", "[::1"), []string{"--grpc-addr", "host:port"}},
		{"A08", "empty", with(t, "--grpc-addr", ""), []string{"--grpc-addr", `""`, "host:port"}},
		{"A08", "masters", []string{"task", "list", "--masters", "127.0.0.1:7400,foo"}, []string{"--masters", "host:port"}},
		{"A11", "unspecified", with(t, "--advertise-grpc", "0.0.0.0:7400"), []string{"--advertise-grpc", "not an address to connect to"}},
		{"A11", "unresolvable", with(t, "--advertise-grpc", "no-such-host.invalid:7400"), []string{"--advertise-grpc", "cannot resolve no-such-host.invalid"}},
		{
			"A11", "loopback with remote peers", with(t, "--peers", "n1=127.0.0.1:7401,n2=10.1.2.3:7401,n3=10.1.2.4:7401"),
			[]string{"--advertise-raft", "--advertise-grpc", "peers cannot reach 127.0.0.1"},
		},
		{"A12", "every interface", with(t, "--grpc-addr", "0.0.0.0:7400"), []string{"refusing plaintext on 0.0.0.0", "--insecure"}},
		{"A12", "no host", with(t, "--raft-addr", ":7401"), []string{"refusing plaintext on 0.0.0.0", "bind 127.0.0.1:7401"}},
		{"A12", "another address", with(t, "--grpc-addr", "192.0.2.1:7400"), []string{"refusing plaintext on 192.0.2.1"}},
		{"A13", "empty", with(t, "--name", ""), []string{"--name", "[a-z0-9][a-z0-9-]{0,62}"}},
		{"A13", "300 characters", with(t, "--name", strings.Repeat("n", 300)), []string{"--name", "[a-z0-9][a-z0-9-]{0,62}"}},
		{"A13", "path", with(t, "--name", "../x"), []string{"--name", `"../x"`}},
		{"A13", "blank", with(t, "--name", "n 1"), []string{"--name", "[a-z0-9]"}},
		{"A13", "NUL", with(t, "--name", "n\x001"), []string{"--name", `\x00`}},
		{"A13", "emoji", with(t, "--name", "n🙂"), []string{"--name", "[a-z0-9]"}},
		{"A13", "line end", with(t, "--name", "n1\n"), []string{"--name", `"n1\n"`}},
		{"A14", "itself with another address", with(t, "--peers", "n1=127.0.0.1:7499"), []string{"--peers", "n1 is listed with another address than it listens on"}},
		{"A14", "itself with another address than advertised", with(t, "--advertise-raft", "127.0.0.1:7402"), []string{"n1 is listed with another address than it advertises"}},
		{"A14", "not on the list", with(t, "--peers", "n2=127.0.0.1:7401"), []string{"this master, n1, is not on the list"}},
		{"A14", "duplicate names", with(t, "--peers", peers3+",n2=127.0.0.1:7431"), []string{"name n2 is listed twice"}},
		{"A14", "duplicate addresses", with(t, "--peers", peers3+",n4=127.0.0.1:7421"), []string{"address 127.0.0.1:7421 is listed twice"}},
		{"A14", "two masters", with(t, "--peers", "n1=127.0.0.1:7401,n2=127.0.0.1:7411"), []string{"two masters cannot lose one", "--allow-two-nodes"}},
		{"A14", "not a peer", with(t, "--peers", "n1"), []string{"--peers", "NAME=HOST:PORT"}},
		{"A16", "no unit", with(t, "--session-ttl", "10"), durationWanted},
		{"A16", "negative", with(t, "--session-ttl", "-5s"), durationWanted},
		{"A16", "zero", with(t, "--session-ttl", "0"), durationWanted},
		{"A16", "exponent", with(t, "--session-ttl", "1e9h"), durationWanted},
		{"A16", "NaN", with(t, "--session-ttl", "NaN"), durationWanted},
		{"A16", "blank", with(t, "--session-ttl", "5 s"), durationWanted},
		{"A16", "full-width digits", with(t, "--session-ttl", "１０s"), durationWanted},
		{"A18", "negative", with(t, "--snapshot-bytes", "-1"), sizeWanted},
		{"A18", "too much", with(t, "--snapshot-bytes", "1TB"), sizeWanted},
		{"A18", "unknown unit", with(t, "--snapshot-bytes", "10Q"), sizeWanted},
		{"A18", "hexadecimal", with(t, "--snapshot-bytes", "0x10"), sizeWanted},
		{"A20", "level", with(t, "--log-level", "verbos"), []string{"--log-level", "debug, info, warn, error"}},
		{"A20", "format", with(t, "--log-format", "xml"), []string{"--log-format", "text, json"}},
		{"A26", "time zone", []string{"schedule", "create", "s", "--time-zone", "Mars/Base"}, []string{"--time-zone", "Mars/Base", "Europe/Berlin"}},
		{"H01", "worker without programs", []string{"worker", "run"}, []string{"--allow-command", "no task could run here"}},
		{"H01", "missing program", []string{"worker", "run", "--allow-command", "/no/such/program"}, []string{"--allow-command", "/no/such/program"}},
		{"", "memory too small", []string{"worker", "run", "--allow-command", "*", "--limit-memory", "1KiB"}, []string{"--limit-memory", "1MiB"}},
		{"", "half a second of processor time", []string{"worker", "run", "--allow-command", "*", "--limit-cpu", "1500ms"}, []string{"--limit-", "whole seconds"}},
		{"", "not a group", []string{"task", "list", "--error", "boom"}, []string{"--error", "a group's id"}},
		{"", "cancel what has ended", []string{"task", "cancel", "--error", "9a3f01c2d4e5b687"}, []string{"unknown flag --error"}},
		{"", "two worker queues alike", []string{"worker", "run", "--allow-command", "*", "--queue", "a", "--queue", "a=2"}, []string{"--queue", "listed twice"}},
		{"", "raft timing", with(t, "--raft-timing", "slow"), []string{"--raft-timing", "default, lan, wan"}},
		{"", "same addresses", with(t, "--grpc-addr", "127.0.0.1:7401"), []string{"the same address as --grpc-addr"}},
		{"A18", "rate without a period", []string{"queue", "set", "q", "--rate", "100"}, []string{"--rate", "N/PERIOD"}},
		{"", "burst without rate", []string{"queue", "set", "q", "--burst", "5"}, []string{"--burst", "given without --rate"}},
		{"", "unique-until without unique", []string{"submit", "--unique-until", "start"}, []string{"--unique-until", "given without --unique"}},
		{"", "one unique key for many", []string{"submit", "--unique", "k", "--count", "2"}, []string{"--unique: given together with --count"}},
		{"", "one unique key for a file", []string{"submit", "--unique", "k", "-f", "-"}, []string{"--unique: given together with --file"}},
		{"", "unknown unique-until", []string{"submit", "--unique", "k", "--unique-until", "never"}, []string{"--unique-until", "start, terminal"}},
		{"", "unknown setting", []string{"queue", "set", "q", "--unset", "colour"}, []string{"--unset", "max-running"}},
		{"E26", "label without a value", []string{"submit", "--require", "gpu"}, []string{"--require"}},
		{"", "exclusive flags", []string{"submit", "--delay", "1s", "--at", "2030-01-01T00:00:00Z"}, []string{"--delay: given together with --at"}},
		{"", "no label", []string{"submit", "--broadcast", "web"}, []string{"--broadcast", "want key=value"}},
		{"", "no number of workers", []string{"submit", "--broadcast", "all", "--acks", "some"}, []string{"--acks", "all, any"}},
		{"", "deadline without broadcast", []string{"submit", "--deadline", "1m"}, []string{"--deadline: given without --broadcast"}},
		{"", "two broadcasts", []string{"broadcast", "get", "1", "2"}, []string{"argument ID: too many"}},
		{"A12", "push", []string{"worker", "run", "--allow-command", "*", "--push", "0.0.0.0:7500"}, []string{"--push", "refusing plaintext on 0.0.0.0"}},
		{"A08", "push", []string{"worker", "run", "--allow-command", "*", "--push", "foo"}, []string{"--push"}},
		{"A08", "add", []string{"worker", "add", "--push", "1.2.3.4"}, []string{"--push"}},
		{"", "push and exit when done", []string{"worker", "run", "--allow-command", "*", "--push", "127.0.0.1:7500", "--exit-when-done"}, []string{"--push", "--exit-when-done"}},
		{"", "advertised push alone", []string{"worker", "run", "--allow-command", "*", "--advertise-push", "w1:7500"}, []string{"--advertise-push"}},
		{"", "no worker's id", []string{"worker", "get", "../w"}, []string{"argument WORKER: not a worker's id"}},
		{"", "drain and undo", []string{"worker", "drain", "w1", "--undo", "--wait"}, []string{"--wait: given together with --undo"}},
		{"", "program without --", []string{"submit", "echo", "hello"}, []string{"put -- before the program"}},
		{"", "kill without start", []string{"bench", "--kill-leader", "3"}, []string{"--kill-leader", "--start 3"}},
	}
	for _, tt := range tests {
		t.Run(tt.row+" "+tt.name, func(t *testing.T) {
			run(t, tt.args...).wantCode(t, exitUsage, tt.want...)
		})
	}
}

var (
	durationWanted = []string{"--session-ttl (or master.session_ttl, or TASKRAFT_SESSION_TTL)", "duration like 500ms, min 1s max 24h"}
	sizeWanted     = []string{"--snapshot-bytes", "64KiB to 64GiB, in B, KiB, MiB"}
)

// TestAllProblemsAtOnce: one line for each, in one run, and nothing was made.
func TestAllProblemsAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	r := run(t, "master", "--data-dir", dir, "--dta-dir", "x", "--grpc-addr", "foo", "--log-level", "loud", "--peers", "n1=127.0.0.1:7401")
	r.wantCode(t, exitUsage, "--dta-dir", "--name", "--grpc-addr", "--log-level")
	if lines := strings.Split(strings.TrimSpace(r.errOut), "\n"); len(lines) != 4 {
		t.Errorf("%d lines, want 4:\n%s", len(lines), r.errOut)
	}
	for line := range strings.Lines(r.errOut) {
		if !strings.HasPrefix(line, "taskraft: --") {
			t.Errorf("line %q does not begin with the flag", line)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the data directory was touched: %v", err)
	}
}

func TestEvenNumberOfMasters(t *testing.T) { // A14
	var errOut strings.Builder
	a := &app{IO: IO{Err: &errOut}}
	m := &a.config.master
	m.rows()
	m.name, m.raftAddr, m.grpcAddr = "n1", "127.0.0.1:7401", "127.0.0.1:7400"
	m.peers = []string{"n1=127.0.0.1:7401", "n2=127.0.0.1:7411", "n3=127.0.0.1:7421", "n4=127.0.0.1:7431"}
	if bad := a.checkMaster(net.DefaultResolver); len(bad) > 0 {
		t.Errorf("four masters are refused: %v", bad)
	}
	if !strings.Contains(errOut.String(), "an odd number is better") {
		t.Errorf("no warning about four masters: %q", errOut.String())
	}
	m.peers, m.allowTwoNodes = m.peers[:2], true
	if bad := a.checkMaster(net.DefaultResolver); len(bad) > 0 {
		t.Errorf("two masters are refused with --allow-two-nodes: %v", bad)
	}
}

func TestConfigFiles(t *testing.T) {
	utf16le := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune("master:\n  name: n1\n")) {
		utf16le = append(utf16le, byte(u), byte(u>>8))
	}
	tests := []struct {
		row, name, text string
		code            int
		want            []string
	}{
		{"A02", "unknown key", "log:\n  level: info\nmaster:\n  naem: n1\n", exitUsage, []string{":4: master.naem: unknown key (did you mean master.name?)"}},
		{"A02", "key in the wrong place", "cluster:\n  peers: n1=127.0.0.1:7401\n", exitUsage, []string{":1: cluster: unknown key"}},
		{"A02", "unknown key at the top", "master:\n  name: n1\nmastrs: 127.0.0.1:7400\n", exitUsage, []string{":3: mastrs: unknown key (did you mean masters?)"}},
		{"A04", "duplicate key", "master:\n  name: n1\n  name: n2\n", exitUsage, []string{":3: master.name: duplicate key, first on line 2"}},
		{"A06", "empty", "", exitOK, []string{"is empty: using defaults"}},
		{"A06", "only a byte order mark", "\ufeff", exitOK, []string{"is empty: using defaults"}},
		{"A06", "byte order mark and CRLF", "\ufefflog:\r\n  level: debug\r\n", exitOK, nil},
		{"A06", "UTF-16", string(utf16le), exitUsage, []string{"not UTF-8 at byte 0"}},
		{"A16", "duration in a file", "master:\n  session_ttl: 10\n", exitUsage, []string{"duration like 500ms", `"10" from file`, ":2"}},
		{"", "wrong kind of value", "master:\n  name: [n1]\n", exitUsage, []string{"master.name: wrong kind of value"}},
		{"", "no value", "master:\n  name:\n", exitUsage, []string{"master.name: wrong kind of value"}},
		{"", "two documents", "log:\n  level: info\n---\nlog:\n  level: info\n", exitUsage, []string{"more than one document"}},
		{"", "list at the top", "- a\n", exitUsage, []string{":1: not a mapping"}},
		{"", "broken", "master: {name: n1\n", exitUsage, []string{"line "}},
		{"", "peers as a mapping", "master:\n  peers: {n1: 127.0.0.1:7401}\n", exitOK, nil},
	}
	for _, tt := range tests {
		t.Run(tt.row+" "+tt.name, func(t *testing.T) {
			file := write(t, "taskraft.yaml", tt.text)
			run(t, "config", "show", "--config", file).wantCode(t, tt.code, tt.want...)
			run(t, "config", "validate", file).wantCode(t, tt.code, tt.want...)
			run(t, "config", "validate", "--config", file).wantCode(t, tt.code, tt.want...)
		})
	}
}

func TestConfigFileCannotBeRead(t *testing.T) { // A05
	dir := t.TempDir()
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	for name, errno := range map[string]syscall.Errno{
		filepath.Join(dir, "missing.yaml"): syscall.ENOENT,
		dir:                                syscall.EISDIR,
		loop:                               syscall.ELOOP,
	} {
		run(t, "config", "show", "--config", name).wantCode(t, exitUsage, "--config", name, errno.Error())
		runIn(t, []string{"TASKRAFT_CONFIG=" + name}, "", "task", "list").wantCode(t, exitUsage, name, errno.Error())
	}
}

func TestPrecedence(t *testing.T) { // A03
	file := write(t, "taskraft.yaml", "master:\n  name: from-file\n  data_dir: /file\nlog:\n  level: warn\n")
	env := []string{"TASKRAFT_NAME=from-env", "TASKRAFT_DATA_DIR=/env", "TASKRAFT_CONFIG=" + file}
	r := runIn(t, env, "", "config", "show", "--origin", "--name", "from-flag")
	r.wantCode(t, exitOK)
	for setting, want := range map[string][]string{
		"master.name":        {"from-flag", "flag --name"},
		"master.data_dir":    {"/env", "env TASKRAFT_DATA_DIR"},
		"log.level":          {"warn", "file " + file + ":5"},
		"master.raft_addr":   {"127.0.0.1:7401", "default"},
		"worker.queues":      {"default", "default"},
		"master.raft_timing": {"default", "default"},
	} {
		found := false
		for line := range strings.Lines(r.out) {
			if rest, ok := strings.CutPrefix(line, setting+" "); ok {
				found = true
				for _, w := range want {
					if !strings.Contains(rest, w) {
						t.Errorf("%s: got %q, want %q in it", setting, strings.TrimSpace(rest), w)
					}
				}
			}
		}
		if !found {
			t.Errorf("config show leaves %s out:\n%s", setting, r.out)
		}
	}
}

func TestVariables(t *testing.T) {
	t.Run("A22 set but empty", func(t *testing.T) {
		r := runIn(t, []string{"TASKRAFT_DATA_DIR="}, "", "master", "--name", "n1", "--peers", "n1=127.0.0.1:7401")
		r.wantCode(t, exitUsage, "--data-dir (or master.data_dir, or TASKRAFT_DATA_DIR): set but empty")
		if strings.Contains(r.errOut, "missing") {
			t.Errorf("it is told twice:\n%s", r.errOut)
		}
	})
	t.Run("A22 set but empty under a flag", func(t *testing.T) {
		runIn(t, []string{"TASKRAFT_DATA_DIR="}, "", good(t)...).wantCode(t, exitUsage, "set but empty")
	})
	t.Run("A23 unknown", func(t *testing.T) {
		env := []string{"TASKRAFT_DATADIR=/x", "TASKRAFT_TASK=7", "PATH=/bin"}
		r := runIn(t, env, "", "config", "show")
		r.wantCode(t, exitOK, "warning", "TASKRAFT_DATADIR: unknown TASKRAFT_ variable (did you mean TASKRAFT_DATA_DIR?)")
		if strings.Contains(r.errOut, "TASKRAFT_TASK:") {
			t.Errorf("what a program gets from its worker is called unknown:\n%s", r.errOut)
		}
	})
	t.Run("A23 unknown and strict", func(t *testing.T) {
		runIn(t, []string{"TASKRAFT_DATADIR=/x"}, "", "config", "show", "--strict-env").wantCode(t, exitUsage, "TASKRAFT_DATADIR")
		runIn(t, []string{"TASKRAFT_DATADIR=/x", "TASKRAFT_STRICT_ENV=true"}, "", "config", "show").wantCode(t, exitUsage, "TASKRAFT_DATADIR")
	})
	t.Run("A16 value from a variable", func(t *testing.T) {
		r := runIn(t, []string{"TASKRAFT_SESSION_TTL=10"}, "", good(t)...)
		r.wantCode(t, exitUsage, "--session-ttl", `"10" from env TASKRAFT_SESSION_TTL`)
	})
}

func TestPortInUse(t *testing.T) { // A09
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	run(t, with(t, "--grpc-addr", addr)...).wantCode(t, exitBind, "--grpc-addr: address in use "+addr, fmt.Sprintf("by pid %d", os.Getpid()))
	t.Run("raft", func(t *testing.T) {
		run(t, with(t, "--raft-addr", addr, "--peers", "n1="+addr)...).wantCode(t, exitBind, "--raft-addr: address in use "+addr)
	})
}

func TestBindFailures(t *testing.T) {
	tests := []struct {
		row  string
		addr string
		err  error
		want string
	}{
		{"A09", ":7400", syscall.EADDRINUSE, "address in use 0.0.0.0:7400"},
		{"A10", "127.0.0.1:80", syscall.EACCES, "ports below 1024 need CAP_NET_BIND_SERVICE"},
		{"", "192.0.2.1:7400", syscall.EADDRNOTAVAIL, "is no address of this machine"},
	}
	for _, tt := range tests {
		t.Run(tt.row, func(t *testing.T) {
			var out strings.Builder
			code := report(&out, bindFailure("grpc-addr", tt.addr, &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", tt.err)}))
			result{code: code, errOut: out.String()}.wantCode(t, exitBind, tt.want, "try:")
		})
	}
}

func TestNoArguments(t *testing.T) { // A31
	for _, tt := range []struct {
		args []string
		code int
		out  string
		err  string
	}{
		{nil, exitUsage, "", "Usage:"},
		{[]string{"task"}, exitUsage, "", "Usage:"},
		{[]string{"--help"}, exitOK, "Usage:", ""},
		{[]string{"--version"}, exitOK, "taskraft v0-test", ""},
		{[]string{"--version", "--json"}, exitOK, `"version": "v0-test"`, ""},
		{[]string{"version", "-o", "json"}, exitOK, `"version": "v0-test"`, ""},
		{[]string{"mastr"}, exitUsage, "", `unknown command "mastr" (did you mean master?)`},
		{[]string{"task", "gett", "7"}, exitUsage, "", `unknown command "gett" (did you mean get?)`},
		{[]string{"version", "now"}, exitUsage, "", "takes no arguments"},
	} {
		t.Run("A31 "+strings.Join(tt.args, " "), func(t *testing.T) {
			r := run(t, tt.args...)
			r.wantCode(t, tt.code, tt.err)
			if !strings.Contains(r.out, tt.out) {
				t.Errorf("stdout does not say %q:\n%s", tt.out, r.out)
			}
			if tt.out == "" && r.out != "" {
				t.Errorf("talk on stdout:\n%s", r.out)
			}
		})
	}
}
