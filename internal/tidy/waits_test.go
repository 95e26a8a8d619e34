package tidy

import (
	"go/ast"
	"strings"
	"testing"
)

// TestNobodySleeps keeps fixed waits out: a test that sleeps is slow on a fast
// machine and flaky on a slow one, and product code that sleeps cannot be stopped.
func TestNobodySleeps(t *testing.T) {
	tree := loaded(t)
	eachCall(tree, func(f *file, call *ast.CallExpr, name string) {
		if name != "time.Sleep" || f.test && (importsPackage(f, "testing/synctest") || simulates(tree, f, call)) {
			return
		}
		if f.test {
			t.Errorf("%s: time.Sleep in a test outside a testing/synctest bubble: wait for the event itself, with a deadline", tree.position(f, call))
			return
		}
		t.Errorf("%s: time.Sleep cannot be interrupted: wait on a timer and the context", tree.position(f, call))
	})
}

// simulates reports whether a comment on the call's line says that the sleep is
// itself what is simulated: a slow disk, a slow network.
func simulates(tree *tree, f *file, call *ast.CallExpr) bool {
	line := tree.fset.Position(call.Pos()).Line
	for _, group := range f.Comments {
		for _, c := range group.List {
			if tree.fset.Position(c.Pos()).Line == line && strings.Contains(c.Text, "simulates") {
				return true
			}
		}
	}
	return false
}

func TestSkipsSayWhy(t *testing.T) {
	tree := loaded(t)
	eachCall(tree, func(f *file, call *ast.CallExpr, name string) {
		method, ok := strings.CutPrefix(name, "testing.common.")
		if ok && (method == "SkipNow" || method == "Skip" && len(call.Args) == 0) {
			t.Errorf("%s: %s without a reason: say what is missing", tree.position(f, call), method)
		}
	})
}

// eachCall visits every call of the module's hand-written files. In test files,
// which are not type-checked, names are taken from the source: time.Sleep, and
// t.Skip as testing.common.Skip.
func eachCall(tree *tree, visit func(f *file, call *ast.CallExpr, name string)) {
	for _, p := range tree.pkgs {
		for _, f := range p.files {
			if f.generated {
				continue
			}
			ast.Inspect(f.File, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					name := calledName(p.info, call)
					if f.test {
						name = spelledName(call)
					}
					visit(f, call, name)
				}
				return true
			})
		}
	}
}

func spelledName(call *ast.CallExpr) string {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	x, ok := sel.X.(*ast.Ident)
	if !ok {
		return ""
	}
	switch x.Name {
	case "t", "b", "f", "tb":
		return "testing.common." + sel.Sel.Name
	default:
		return x.Name + "." + sel.Sel.Name
	}
}

func importsPackage(f *file, path string) bool {
	for _, spec := range f.Imports {
		if spec.Path.Value == `"`+path+`"` {
			return true
		}
	}
	return false
}
