package logstore

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestMain turns this binary into the process that is to be killed, when asked to.
func TestMain(m *testing.M) {
	if role := os.Getenv("LOGSTORE_TEST_ROLE"); role != "" {
		victim(role, os.Getenv("LOGSTORE_TEST_PATH"))
		return
	}
	os.Exit(m.Run())
}

// victim prints a line after each step that a test wants to kill it behind, and
// never ends by itself.
func victim(role, path string) {
	writes := 0
	s, err := Open(Config{Path: path, Owner: "c1/n1/x", BeforeWrite: func() error {
		if writes++; role == "half a deletion" && writes == 10 {
			fmt.Println("ok")
			select {}
		}
		return nil
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	switch role {
	case "half a vote":
		err = s.SetUint64(keyVoteTerm, 6)
	case "a vote":
		if err = s.SetUint64(keyVoteTerm, 6); err == nil {
			err = s.Set(keyVoteCand, []byte("n2/bb"))
		}
	case "entries":
		for err == nil {
			last, _ := s.LastIndex()
			if err = s.StoreLog(entry(last+1, 300)); err == nil {
				fmt.Println(last + 1)
			}
		}
	case "half a deletion":
		err = s.DeleteRange(1, 20_000)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("ok")
	select {}
}

// kill runs a victim until it has printed n lines, kills it with SIGKILL and
// returns everything it printed.
func kill(t *testing.T, role, path string, n int) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "LOGSTORE_TEST_ROLE="+role, "LOGSTORE_TEST_PATH="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for sc := bufio.NewScanner(out); sc.Scan(); {
		lines = append(lines, sc.Text())
		if len(lines) == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the victim ended by itself: %v, %q", err, lines)
	}
	return lines
}

// victimStore returns the configuration of a closed store for a victim.
func victimStore(t *testing.T, entries uint64) Config {
	t.Helper()
	s := owned(t, Config{})
	vote(t, s, 5, "n1/aa")
	fill(t, s, 1, entries, 300)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return s.cfg
}

// TestKillBetweenTermAndCandidate is hashicorp/raft#661: the new term must not
// come to stand beside the old candidate.
func TestKillBetweenTermAndCandidate(t *testing.T) {
	cfg := victimStore(t, 10)
	if lines := kill(t, "half a vote", cfg.Path, 1); lines[0] != "ok" {
		t.Fatal(lines)
	}
	wantVote(t, mustOpen(t, cfg), 5, "n1/aa")
}

func TestKillAfterVote(t *testing.T) {
	cfg := victimStore(t, 10)
	if lines := kill(t, "a vote", cfg.Path, 1); lines[0] != "ok" {
		t.Fatal(lines)
	}
	wantVote(t, mustOpen(t, cfg), 6, "n2/bb")
}

// TestKillWhileStoring: every acknowledged entry is there, and no hole.
func TestKillWhileStoring(t *testing.T) { eachKind(t, testKillWhileStoring) }

func testKillWhileStoring(t *testing.T) {
	cfg := victimStore(t, 10)
	for round := range 4 {
		lines := kill(t, "entries", cfg.Path, 40+13*round)
		acked, err := strconv.ParseUint(lines[len(lines)-1], 10, 64)
		if err != nil {
			t.Fatal(lines)
		}
		s := mustOpen(t, cfg)
		last, _ := s.LastIndex()
		if last != acked && last != acked+1 {
			t.Errorf("last = %d, acknowledged up to %d", last, acked)
		}
		wantLog(t, s, 1, last, 300)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKillWhileDeletingAll: what is left begins with entry 1, so DropSuperseded
// recognises it.
func TestKillWhileDeletingAll(t *testing.T) { t.Run(string(Bolt), testKillWhileDeletingAll) } // a WAL deletes in one frame

func testKillWhileDeletingAll(t *testing.T) {
	cfg := victimStore(t, 20_000)
	kill(t, "half a deletion", cfg.Path, 1)
	s := mustOpen(t, cfg)
	wantLog(t, s, 1, 20_000-9*deleteEntries, 300)
	if dropped, err := s.DropSuperseded(20_001, 30); !dropped || err != nil {
		t.Errorf("dropped = %v, %v", dropped, err)
	}
}
