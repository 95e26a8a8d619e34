package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"taskraft": main})
}

// TestScripts runs the program itself, as a user would: see testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			ports, err := freePorts(3)
			if err != nil {
				return err
			}
			env.Setenv("GRPC", ports[0])
			env.Setenv("RAFT", ports[1])
			env.Setenv("TASKRAFT_HTTP_ADDR", ports[2])
			env.Setenv("TASKRAFT_MASTERS", ports[0])
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "serving": serving, "until": until, "term": term, "devmasters": devMasters,
		},
	})
}

func freePorts(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// exits CODE PROGRAM ARG… runs a program and wants that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// term COMMAND sends SIGTERM to the background processes of `taskraft COMMAND`.
func term(ts *testscript.TestScript, _ bool, args []string) {
	for _, cmd := range ts.BackgroundCmds() {
		if slices.Contains(cmd.Args, args[0]) {
			ts.Check(cmd.Process.Signal(syscall.SIGTERM))
		}
	}
}

// devmasters DIR waits until `taskraft dev --keep DIR` has chosen its ports, and
// has client commands use them.
func devMasters(ts *testscript.TestScript, _ bool, args []string) {
	var state struct {
		FirstPort int `json:"first_port"`
	}
	poll(ts, "dev.json is there", func() error {
		data, err := os.ReadFile(ts.MkAbs(args[0] + "/dev.json"))
		if err != nil {
			return err
		}
		return json.Unmarshal(data, &state)
	})
	ts.Setenv("TASKRAFT_MASTERS", net.JoinHostPort("127.0.0.1", strconv.Itoa(state.FirstPort)))
}

// serving waits until a leader serves.
func serving(ts *testscript.TestScript, _ bool, _ []string) {
	poll(ts, "a leader serves", func() error { return ts.Exec("taskraft", "cluster", "status") })
}

// until TEXT PROGRAM ARG… runs a program until its output is TEXT.
func until(ts *testscript.TestScript, _ bool, args []string) {
	poll(ts, args[0], func() error {
		if err := ts.Exec(args[1], args[2:]...); err != nil {
			return err
		}
		if got := ts.ReadFile("stdout"); got != args[0]+"\n" {
			return fmt.Errorf("got %q", got)
		}
		return nil
	})
}

func poll(ts *testscript.TestScript, what string, f func() error) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(30 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			ts.Fatalf("not in time: %s: %v", what, err)
		}
	}
}
