package tidy

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layer says what the non-test files of the packages below dir may import.
type layer struct {
	dir string
	// mine lists the module's own packages, with everything below them if they
	// end in "/…". What lies below the importing package is always allowed.
	mine []string
	// foreign lists other modules by prefix; nil allows all but the fenced ones.
	foreign []string
	// std lists the standard library's packages; nil allows all.
	std []string
	why string
}

const grpcOnly = "a user's program that imports it must never link Raft or our servers"

// openTelemetry is its API alone: programs bring the SDK, if they want one.
var openTelemetry = []string{"go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/codes", "go.opentelemetry.io/otel/propagation", "go.opentelemetry.io/otel/trace"}

var grpcModules = []string{"google.golang.org/grpc", "google.golang.org/genproto/googleapis/rpc", "google.golang.org/protobuf"}

// layers is the one way that imports run: cmd → {web, rpc, worker, client} →
// cluster → fsm, with task above the two SDKs. The most specific line counts.
var layers = []layer{
	{
		dir: "fsm", mine: []string{"fsm/fsmpb"},
		foreign: []string{"github.com/tidwall/btree", "google.golang.org/protobuf"},
		std: []string{
			"bufio", "bytes", "cmp", "container/heap", "crypto/sha256", "encoding/binary", "encoding/hex", "errors", "fmt",
			"hash", "hash/crc32", "hash/fnv", "io", "iter", "maps", "math", "math/bits", "slices", "sort", "strconv",
			"strings", "unicode/utf8",
		},
		why: "the state machine decides the same on every master only if nothing but its input reaches it (C4)",
	},
	{dir: "fsm/fsmpb", foreign: []string{"google.golang.org/protobuf"}, why: "log and snapshot messages stand alone"},
	{dir: "cluster", mine: []string{"fsm", "fsm/fsmpb", "cluster/…"}, why: "the cluster orders commands; it knows nothing of its users"},
	{dir: "rpc", mine: []string{"cluster", "cluster/backup", "cluster/cron", "cluster/events", "fsm", "fsm/fsmpb", "internal/tracing", "rpc/…"}, why: "the edge validates, calls the cluster once and converts back"},
	{dir: "rpc/taskraftv1", foreign: grpcModules, why: "the API's messages stand alone"},
	{dir: "rpc/reason", foreign: []string{}, why: "SDKs and the command line import the reasons without our servers"},
	{dir: "rpc/inproc", foreign: grpcModules, why: "a transport knows nothing of what it carries"},
	{
		dir: "web", mine: []string{"cluster", "rpc/taskraftv1", "rpc/reason", "web/…"},
		why: "the HTTP side is the same API in another form: it decides nothing about tasks",
	},
	{dir: "web/gateway", mine: []string{"rpc/taskraftv1"}, why: "generated routes know only the API's messages"},
	{dir: "web/problem", mine: []string{"rpc/reason"}, why: "a refusal is written from a status alone"},
	{dir: "web/metrics", mine: []string{"cluster", "fsm"}, why: "it reads counters of the node and of the table"},
	{
		dir: "web/dashboard", mine: []string{"cluster", "fsm", "rpc/taskraftv1", "web/problem"},
		why: "pages read this master's table, and act through the API",
	},
	{dir: "web/health", mine: []string{"cluster"}, foreign: []string{}, why: "it looks at the node, not at tasks"},
	{
		dir: "client", mine: []string{"internal/follow", "internal/tracing", "rpc/taskraftv1", "rpc/reason"},
		foreign: slices.Concat(grpcModules, openTelemetry), why: grpcOnly,
	},
	{
		dir: "worker", mine: []string{"internal/follow", "internal/tracing", "rpc/taskraftv1", "rpc/reason", "worker"},
		foreign: slices.Concat(grpcModules, openTelemetry), why: grpcOnly,
	},
	{dir: "task", mine: []string{"client", "worker", "rpc/taskraftv1"}, foreign: []string{}, why: grpcOnly},
	{
		dir: "tasktest", mine: []string{"client", "cluster", "rpc", "worker"}, foreign: []string{},
		why: "the test kit runs a real master in its user's tests, so it alone among the libraries links one",
	},
	{dir: "internal/follow", mine: []string{"rpc/taskraftv1", "rpc/reason"}, foreign: grpcModules, why: grpcOnly},
	{
		dir: "cmd", mine: []string{"cmd/…", "client", "cluster/…", "fsm", "rpc/…", "worker/…", "internal/…", "web"},
		why: "the command wires the parts together",
	},
	{
		dir: "internal/proc", mine: []string{"cluster/datadir", "rpc/taskraftv1"},
		why: "the harness looks at processes from outside",
	},
	{
		dir: "e2e", mine: []string{"client", "worker/…", "rpc/taskraftv1", "rpc/reason", "internal/proc"},
		why: "end-to-end tests use what users have: the binary, the SDKs, the API",
	},
	{
		dir: "e2e/chaos", mine: []string{"client", "rpc/taskraftv1", "internal/checker", "internal/faultdisk", "internal/proc"},
		why: "it does its worst to what users have, and has others judge",
	},
	{
		dir: "e2e/scale", mine: []string{"client", "worker", "rpc/taskraftv1", "internal/load", "internal/measure", "internal/proc"},
		why: "it measures what users have: the binary, the SDKs, the API",
	},
	{
		dir: "internal/load", mine: []string{"client", "worker", "rpc/taskraftv1", "internal/checker", "internal/measure"}, foreign: []string{},
		why: "a load on a cluster comes from its clients, and what they saw is for the checker",
	},
	{dir: "examples", mine: []string{"client", "worker", "rpc/taskraftv1"}, foreign: []string{}, why: "an example imports what its readers can"},
	{dir: "internal/faultdisk", mine: []string{}, foreign: []string{"github.com/hanwen/go-fuse"}, why: "a disk knows nothing of what is stored on it"},
	{dir: "internal/tracing", foreign: openTelemetry, why: "clients and workers import it: a program that does not trace links no SDK"},
	{dir: "internal/badinput", foreign: []string{}, why: "a list, and a test that reads sources"},
	{
		dir: "internal/model", mine: []string{"fsm/fsmpb"}, foreign: []string{"google.golang.org/protobuf"},
		why: "a model that shares code with what it judges shares its bugs",
	},
	{
		dir: "internal/checker", mine: []string{"internal/model", "internal/checker"}, foreign: []string{"github.com/anishathalye/porcupine"},
		why: "who judges a history knows nothing of the product but its words",
	},
	{
		dir: "internal/sim", mine: []string{"fsm", "fsm/fsmpb", "internal/model", "internal/sim"}, foreign: []string{},
		why: "the simulator is the state machine, the model and a world of its own",
	},
	{
		dir: "internal/sim/clustersim", mine: []string{"client", "cluster", "cluster/datadir", "fsm", "fsm/fsmpb", "internal/checker", "internal/sim", "rpc"},
		foreign: grpcModules,
		why:     "it is whole masters, the SDK, the checker, and a world of its own",
	},
	{dir: "internal/measure", foreign: []string{}, why: "loads of any system measure with it"},
	{dir: "internal/tidy", foreign: []string{}, why: "the style test depends on nothing that it judges"},
}

// fenced are foreign modules with one home.
var fenced = []struct{ prefix, home, why string }{
	{"github.com/hashicorp/", "cluster", "only cluster hides Raft, so that it can be replaced or repaired in one place"},
	{"github.com/adhocore/", "cluster", "rules are evaluated on the leader, never where the table is decided"},
	{"go.etcd.io/bbolt", "cluster", "only cluster touches the stores"},
	{"github.com/boltdb/bolt", "nowhere", "use go.etcd.io/bbolt: the old one has known corruption bugs"},
	{"github.com/grpc-ecosystem/", "web", "the gateway serves HTTP: a user's program must not link it"},
	{"github.com/prometheus/", "web", "metrics are collected where they are served, not where things happen"},
	{"github.com/spf13/", "cmd", "flags are read in one place"},
	{"charm.land/", "cmd", "only the command draws on terminals"},
	{"github.com/hanwen/", "internal/faultdisk", "file systems are mounted by tests alone"},
	{"github.com/golang/protobuf", "nowhere", "use google.golang.org/protobuf"},
	{"github.com/stretchr/testify", "nowhere", "tests use the standard library and go-cmp"},
}

func TestImportsRunOneWay(t *testing.T) {
	tree := loaded(t)
	for _, p := range tree.pkgs {
		l, ok := layerOf(p.path)
		if !ok {
			t.Errorf("%s: no rule says what it may import: add a line to layers in internal/tidy/imports_test.go", p.path)
			continue
		}
		for _, f := range p.files {
			for _, spec := range f.Imports {
				imported, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if why := fence(p.path, imported); why != "" {
					t.Errorf("%s imports %s: %s", tree.position(f, spec), imported, why)
				}
				if !f.test && !f.generated && !l.allows(p.path, imported) {
					t.Errorf("%s imports %s: %s", tree.position(f, spec), imported, l.why)
				}
			}
		}
	}
}

func layerOf(dir string) (layer, bool) {
	var best layer
	for _, l := range layers {
		if within(dir, l.dir) && len(l.dir) > len(best.dir) {
			best = l
		}
	}
	return best, best.dir != ""
}

func (l layer) allows(from, imported string) bool {
	switch {
	case within(imported, module):
		mine := strings.TrimPrefix(strings.TrimPrefix(imported, module), "/")
		return within(mine, from) || slices.ContainsFunc(l.mine, func(allowed string) bool {
			below, all := strings.CutSuffix(allowed, "/…")
			return mine == allowed || all && within(mine, below)
		})
	case standard(imported):
		return l.std == nil || slices.Contains(l.std, imported)
	default:
		return l.foreign == nil || slices.ContainsFunc(l.foreign, func(prefix string) bool { return within(imported, prefix) })
	}
}

func fence(from, imported string) (why string) {
	for _, f := range fenced {
		if strings.HasPrefix(imported, f.prefix) && !within(from, f.home) {
			return f.why
		}
	}
	return ""
}

// standard reports whether a path is of the standard library: no dot in its
// first element.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// TestSDKsLinkNoServer follows the imports to their ends: what a user's program
// links through client or worker.
func TestSDKsLinkNoServer(t *testing.T) {
	tree := loaded(t)
	imports := make(map[string][]string)
	for _, p := range tree.pkgs {
		for _, imp := range p.types.Imports() {
			if within(imp.Path(), module) {
				imports[p.path] = append(imports[p.path], strings.TrimPrefix(imp.Path(), module+"/"))
			}
		}
	}
	for _, sdk := range []string{"client", "worker", "worker/command", "task"} {
		seen := map[string]bool{sdk: true}
		for todo := []string{sdk}; len(todo) > 0; {
			p := todo[0]
			todo = todo[1:]
			for _, next := range imports[p] {
				if !seen[next] {
					seen[next] = true
					todo = append(todo, next)
				}
				for _, banned := range []string{"cluster", "fsm", "cmd", "web", "tasktest"} {
					if within(next, banned) || next == "rpc" {
						t.Errorf("%s links %s through %s: %s", sdk, next, p, grpcOnly)
					}
				}
			}
		}
	}
}
