package tidy

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// orderFree, in a comment on the line of a map range or the line above, vouches
// that the order cannot be seen in the table, in a result or in an event.
const orderFree = "order-free:"

// TestMachineIsPure holds the state machine to C4: the same log gives the same
// table, results and events on every master.
func TestMachineIsPure(t *testing.T) {
	tree := loaded(t)
	for _, p := range tree.pkgs {
		if p.path != "fsm" {
			continue
		}
		for _, f := range p.files {
			if f.test || f.generated {
				continue
			}
			for _, finding := range impurities(tree.fset, f.File, p.info) {
				t.Errorf("%s:%s", f.name, finding)
			}
		}
	}
}

// impurities returns what a file of the state machine must not do, as "line: what: why".
func impurities(fset *token.FileSet, f *ast.File, info *types.Info) []string {
	vouched := make(map[int]bool)
	for _, group := range f.Comments {
		for _, c := range group.List {
			if strings.Contains(c.Text, orderFree) {
				line := fset.Position(c.End()).Line
				vouched[line], vouched[line+1] = true, true
			}
		}
	}
	var found []string
	report := func(n ast.Node, format string, args ...any) {
		found = append(found, fmt.Sprintf("%d: %s", fset.Position(n.Pos()).Line, fmt.Sprintf(format, args...)))
	}
	sorted := make(map[ast.Node]bool) // calls whose order a sorting call takes away
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			report(n, "a goroutine: the order of its effects is not the log's")
		case *ast.SelectStmt, *ast.ChanType, *ast.SendStmt:
			report(n, "a channel: the state machine has one caller and waits for nothing")
		case *ast.RangeStmt:
			if isMap(info, n.X) && !vouched[fset.Position(n.Pos()).Line] {
				report(n, "ranges over a map: its order differs between masters; sort the keys, or say why the order cannot be seen in a comment %q", orderFree)
			}
		case *ast.CallExpr:
			name := calledName(info, n)
			if slices.Contains([]string{"slices.Sorted", "slices.SortedFunc", "slices.SortedStableFunc"}, name) && len(n.Args) > 0 {
				sorted[n.Args[0]] = true
			}
			if slices.Contains([]string{"maps.Keys", "maps.Values", "maps.All"}, name) && !sorted[n] && !vouched[fset.Position(n.Pos()).Line] {
				report(n, "%s without slices.Sorted around it: its order differs between masters", name)
			}
		case ast.Expr:
			if tv, ok := info.Types[n]; ok && isFloat(tv.Type) {
				report(n, "a floating-point %s: rounding may differ between machines; use integers", types.ExprString(n))
				return false
			}
		}
		return true
	})
	return found
}

func isMap(info *types.Info, x ast.Expr) bool {
	tv, ok := info.Types[x]
	if !ok {
		return false
	}
	_, ok = tv.Type.Underlying().(*types.Map)
	return ok
}

func isFloat(t types.Type) bool {
	if t == nil {
		return false
	}
	basic, ok := t.Underlying().(*types.Basic)
	return ok && basic.Info()&(types.IsFloat|types.IsComplex) != 0
}

// calledName returns "package.Function" or "package.Type.Method" of a call, ""
// for what is neither.
func calledName(info *types.Info, call *ast.CallExpr) string {
	fun := ast.Unparen(call.Fun)
	if index, ok := fun.(*ast.IndexExpr); ok {
		fun = index.X
	}
	var id *ast.Ident
	switch fun := fun.(type) {
	case *ast.Ident:
		id = fun
	case *ast.SelectorExpr:
		id = fun.Sel
	default:
		return ""
	}
	fn, ok := info.Uses[id].(*types.Func)
	if !ok || fn.Pkg() == nil {
		return ""
	}
	recv := fn.Signature().Recv()
	if recv == nil {
		return fn.Pkg().Path() + "." + fn.Name()
	}
	typ := recv.Type()
	if ptr, ok := typ.(*types.Pointer); ok {
		typ = ptr.Elem()
	}
	if named, ok := typ.(*types.Named); ok {
		return fn.Pkg().Path() + "." + named.Obj().Name() + "." + fn.Name()
	}
	return ""
}
