package main

import (
	"strings"
	"testing"
)

const script = `
taskraft  1935
	ffffffff8225fd19 clear_page_erms
	ffffffff8225fc41 exc_page_fault
	           b180a runtime.mallocgc
	          732831 github.com/taskraft/taskraft/fsm.(*Machine).Apply

taskraft  1936
	           b180a github.com/taskraft/taskraft/fsm.EncodeEntry
	          732831 github.com/taskraft/taskraft/cluster.(*reign).propose

taskraft  1936
	           b180a github.com/tidwall/btree.(*Map[go.shape.uint64,go.shape.*uint8]).get
	          732831 github.com/taskraft/taskraft/fsm.(*Machine).Apply
	          732832 github.com/hashicorp/raft.(*Raft).runFSM

taskraft  1937
	           b180a github.com/taskraft/taskraft/internal/load.(*run).produce

Web Content  7
	           b180a main
`

func TestAccount(t *testing.T) {
	stacks, err := readStacks(strings.NewReader(script))
	if err != nil {
		t.Fatal(err)
	}
	if len(stacks) != 5 || stacks[4].command != "Web Content" || stacks[4].process != 7 {
		t.Fatalf("read %d samples: %+v", len(stacks), stacks)
	}
	var out strings.Builder
	if err := take(stacks, "taskraft").write(&out, 2, 200_000); err != nil { // 10 µs per lifecycle, 2 per sample
		t.Fatal(err)
	}
	for stage, want := range map[string]string{
		"page faults":        "0.00 2.00 0.00 0.00 2.00",
		"encode and propose": "2.00 0.00 0.00 0.00 2.00",
		"apply: table":       "2.00 0.00 0.00 0.00 2.00",
		"load":               "0.00 0.00 2.00 0.00 2.00",
		"the rest":           "0.00 0.00 0.00 2.00 2.00",
		"all":                "4.00 2.00 2.00 2.00 10.00",
	} {
		found := false
		for line := range strings.Lines(out.String()) {
			if numbers, ok := strings.CutPrefix(strings.Join(strings.Fields(line), " "), stage+" "); ok {
				found = true
				if numbers != want {
					t.Errorf("%s: %s, want %s", stage, numbers, want)
				}
			}
		}
		if !found {
			t.Errorf("no line of %q:\n%s", stage, out.String())
		}
	}
}

func TestSamplesThatNameNobody(t *testing.T) {
	if _, err := readStacks(strings.NewReader("taskraft x\n\tb180a main\n")); err == nil {
		t.Error("no error")
	}
}
