package clustersim

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	first = flag.Uint64("first", 1, "the first seed; the others follow it")
	least = flag.Uint64("seeds", 2, "play at least so many seeds, however long that takes")
	long  = flag.Duration("for", 0, "play seeds for this long")
	one   = flag.Uint64("seed", 0, "play this seed alone")
	times = flag.Uint64("times", 1, "with -seed: play it so often")
	trace = flag.Bool("trace", false, "with -seed: print the masters' logs")
	cover = flag.Bool("cover", false, "print how often everything was met")
	most  = flag.Int("failures", 5, "stop at so many seeds that fail")
	jobs  = flag.Int("jobs", runtime.GOMAXPROCS(0), "seeds that are played at once")
)

// TestSeeds plays seeds. It is a test because a bubble needs one; make sim-cluster
// plays many.
func TestSeeds(t *testing.T) {
	dir := inMemory(t)
	plan := Plan{First: *first, Least: *least, For: *long, Jobs: *jobs, Failures: *most}
	var w io.Writer
	if *one != 0 {
		plan = Plan{First: *one, Least: *times, Jobs: 1, Failures: int(*times) + 1, Again: true}
		if *trace {
			w = os.Stdout
		}
	}
	sum := PlayMany(plan, func(seed uint64) (r Report) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r = play(t, seed, dir, w)
		})
		return r
	})
	if sum.Failed() || testing.Verbose() {
		sum.Print(os.Stdout, *cover)
	}
	if sum.Failed() {
		t.Fail()
	}
}

// play plays a seed in a bubble. What the bubble finds blocked at the end leaks, unless
// the library leaves it behind.
func play(t *testing.T, seed uint64, dir string, w io.Writer) (r Report) {
	r.Seed = seed
	bubble := ""
	defer func() {
		if p := recover(); p != nil {
			if left := blocked(bubble); left != "" || r.Entries == 0 {
				r.Problems = append(r.Problems, fmt.Sprintf("%v (L5)\n%s", p, left))
			}
		}
	}()
	synctest.Test(t, func(*testing.T) {
		bubble = bubbleOf(stacks(false)[0])
		r = Run(seed, dir, w)
	})
	return r
}

// leftBehind is where the library's goroutines may wait for ever: for a future that
// nobody answers when Raft has shut down; in a transfer of leadership to a follower
// whose replication ended first, together with who waits for that transfer; and for
// answers to a replication that ended in the store of a process that failed, together
// with who waits for Raft's end: a process would be gone.
var leftBehind = []string{
	"raft.(*deferError).Error", "raft.(*Raft).leadershipTransfer(", "raft.(*Raft).leaderLoop.func2(",
	"raft.(*Raft).pipelineDecode(", "raft.(*raftState).waitShutdown(",
}

// blocked returns the stacks of a bubble's goroutines that should not be there.
func blocked(bubble string) (left string) {
	for _, s := range stacks(true) {
		head, rest, _ := strings.Cut(s, "\n")
		if strings.HasPrefix(rest, "sync.") { // where the library calls it
			if i := strings.Index(rest, "github.com/"); i >= 0 {
				rest = rest[i:]
			}
		}
		frame, _, _ := strings.Cut(rest, "\n")
		in := func(name string) bool { return strings.Contains(frame, name) }
		if bubbleOf(head) == bubble && !slices.ContainsFunc(leftBehind, in) {
			left += s + "\n\n"
		}
	}
	return left
}

// bubbleOf returns the name of the bubble in the first line of a goroutine's stack.
func bubbleOf(stack string) string {
	head, _, _ := strings.Cut(stack, "\n")
	_, name, _ := strings.Cut(strings.TrimSuffix(head, "]:"), "synctest ")
	return name
}

func stacks(all bool) []string {
	b := make([]byte, 8<<20)
	return strings.Split(string(b[:runtime.Stack(b, all)]), "\n\n")
}

// inMemory returns a directory in memory, where there is one: its fsync costs nothing.
func inMemory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "clustersim-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestNetwork: what is sent arrives in order, late where packets are lost, after the
// link is mended where it was cut, and not at all after a reset.
func TestNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork((&world{seed: 1}).random(1), swarm{masters: 2, latency: time.Millisecond, loss: 0.3})
		a, b := n.hosts[address(0)], n.hosts[address(1)]
		l, err := n.listen(b, b.boot)
		if err != nil {
			t.Fatal(err)
		}
		c, err := n.dial(t.Context(), a, a.boot, b.addr)
		if err != nil {
			t.Fatal(err)
		}
		d, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		read := func() byte {
			var got [1]byte
			if _, err := io.ReadFull(d, got[:]); err != nil {
				t.Fatal(err)
			}
			return got[0]
		}
		for i := range byte(100) {
			if _, err := c.Write([]byte{i}); err != nil {
				t.Fatal(err)
			}
		}
		sent := time.Now()
		for i := range byte(100) {
			if got := read(); got != i {
				t.Fatalf("got %d, want %d", got, i)
			}
		}
		if time.Since(sent) < repeatAfter {
			t.Errorf("all arrived within %v, although packets were lost", time.Since(sent))
		}
		n.change(a, b, func(l *link) { l.cut = true })
		if _, err := c.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		cutFor := time.Minute
		time.AfterFunc(cutFor, func() { n.change(a, b, func(l *link) { l.cut = false }) })
		sent = time.Now()
		if read(); time.Since(sent) < cutFor {
			t.Error("something arrived over a link that was cut")
		}
		n.change(a, b, func(l *link) { l.cut = true })
		if _, err := c.Write([]byte{2}); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(cutFor, func() { n.change(a, b, func(l *link) { l.cut = false }) })
		if got := read(); got != 2 {
			t.Errorf("got %d from a connection that was closed behind it, want 2", got)
		}
		if _, err = n.dial(t.Context(), a, a.boot, b.addr); err != nil {
			t.Fatal(err)
		}
		if d, err = l.Accept(); err != nil {
			t.Fatal(err)
		}
		n.change(a, b, func(l *link) { l.reject = true })
		if _, err := d.Read(make([]byte, 1)); err == nil {
			t.Error("a connection survived a reset")
		}
		if _, err := n.dial(t.Context(), a, a.boot, b.addr); err == nil {
			t.Error("a dial got through a firewall")
		}
	})
}
