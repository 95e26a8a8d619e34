package cli

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestLayOut looks at what the kernel says of the process's memory: huge pages may
// be made of a block's worth, and it is not in use.
func TestLayOut(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skip("a kernel without transparent huge pages")
	}
	if os.Getenv("LAY_OUT") == "" { // in a process of its own: a heap that has freed as much would give it, used, once more
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLayOut$")
		cmd.Env = append(os.Environ(), "LAY_OUT=here")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	_, before := advised(t)
	layOut()
	size, after := advised(t)
	if size < hugeStep {
		t.Errorf("huge pages may be made of %d MiB, want %d", size>>20, hugeStep>>20)
	}
	if more := after - before; more > hugeStep/4 {
		t.Errorf("%d MiB more are in use", more>>20)
	}
}

// advised sums up what of the process's memory is advised to be of huge pages, and
// how much of that is resident, in bytes.
func advised(t *testing.T) (size, resident int64) {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var regionSize, regionResident int64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		words := strings.Fields(rest)
		switch name {
		case "Size", "Rss":
			kib, err := strconv.ParseInt(words[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if name == "Size" {
				regionSize = kib << 10
			} else {
				regionResident = kib << 10
			}
		case "VmFlags":
			for _, flag := range words {
				if flag == "hg" {
					size, resident = size+regionSize, resident+regionResident
				}
			}
		}
	}
	return size, resident
}
