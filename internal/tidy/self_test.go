package tidy

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"strings"
	"testing"
)

// TestPurityFindsEachSin proves that the purity test is not vacuous.
func TestPurityFindsEachSin(t *testing.T) {
	tests := []struct{ name, code, want string }{
		{"goroutine", `func f() { go f() }`, "goroutine"},
		{"select", `func f() { select {} }`, "channel"},
		{"channel type", `var c chan int`, "channel"},
		{"map range", `func f(m map[int]int) { for range m { f(m) } }`, "ranges over a map"},
		{"named map range", `type set map[int]bool; func f(m set) { for k := range m { _ = k } }`, "ranges over a map"},
		{"float type", `func f(x float64) {}`, "floating-point"},
		{"float constant", `var x = 1.5`, "floating-point"},
		{"clean", `func f(s []int) int { return len(s) * 2 / 3 }`, ""},
		{"vouched range", "func f(m map[int]int) (n int) {\n// order-free: a sum\nfor _, v := range m { n += v }\nreturn n }", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, "x.go", "package x\n"+tt.code, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			info := &types.Info{Types: make(map[ast.Expr]types.TypeAndValue), Uses: make(map[*ast.Ident]types.Object)}
			conf := types.Config{Importer: importer.Default()}
			if _, err := conf.Check("x", fset, []*ast.File{f}, info); err != nil {
				t.Fatal(err)
			}
			found := strings.Join(impurities(fset, f, info), "\n")
			if (found == "") != (tt.want == "") || !strings.Contains(found, tt.want) {
				t.Errorf("found %q, want %q", found, tt.want)
			}
		})
	}
}

func TestUndocumentedFindsNames(t *testing.T) {
	const code = `package x
func Bare() {}
// Said is documented.
func Said() {}
type T struct{}
func (T) Method() {}
func (t *hidden) Method() {}
type hidden struct{}
// The limits.
const (
	A = 1
)
var B = 2
`
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", code, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, name := range undocumented(f) {
		names = append(names, name.Name)
	}
	if got := strings.Join(names, " "); got != "Bare T Method B" {
		t.Errorf("found %q", got)
	}
}

func TestFences(t *testing.T) {
	tests := []struct {
		from, imported string
		allowed        bool
	}{
		{"cluster/logstore", "github.com/hashicorp/raft", true},
		{"rpc", "github.com/hashicorp/raft", false},
		{"fsm", "time", false},
		{"fsm", module + "/fsm/fsmpb", true},
		{"fsm", module + "/cluster", false},
		{"fsm/fsmpb", module + "/fsm", false},
		{"cluster", module + "/rpc", false},
		{"rpc", module + "/cluster", true},
		{"client", module + "/rpc/taskraftv1", true},
		{"client", module + "/rpc", false},
		{"worker/command", module + "/worker", true},
		{"worker", "github.com/spf13/cobra", false},
		{"cmd/taskraft", "github.com/spf13/cobra", true},
	}
	for _, tt := range tests {
		l, ok := layerOf(tt.from)
		if !ok {
			t.Fatalf("no layer for %s", tt.from)
		}
		allowed := l.allows(tt.from, tt.imported) && fence(tt.from, tt.imported) == ""
		if allowed != tt.allowed {
			t.Errorf("%s imports %s: allowed %v, want %v", tt.from, tt.imported, allowed, tt.allowed)
		}
	}
}
