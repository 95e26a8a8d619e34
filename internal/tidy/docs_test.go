package tidy

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

func TestPackagesAreDocumented(t *testing.T) {
	for _, p := range loaded(t).pkgs {
		written, documented, home := 0, false, false
		for _, f := range p.files {
			if f.test || f.generated {
				continue
			}
			written++
			home = home || path.Base(f.name) == "doc.go"
			documented = documented || f.Doc != nil
		}
		switch {
		case written > 0 && !documented:
			t.Errorf("%s has no package comment: a newcomer reads that first", p.path)
		case written > 1 && !home:
			t.Errorf("%s has no doc.go: the package comment is always found there", p.path)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	const why = "say what it is, in which unit or shape, and which errors it gives"
	tree := loaded(t)
	for _, p := range tree.pkgs {
		if p.name == "main" {
			continue
		}
		for _, f := range p.files {
			if f.test || f.generated {
				continue
			}
			for _, name := range undocumented(f.File) {
				t.Errorf("%s: exported %s has no comment: %s", tree.position(f, name), name.Name, why)
			}
		}
	}
}

// undocumented returns the exported names of a file's declarations that neither
// they nor their group comment on.
func undocumented(f *ast.File) []*ast.Ident {
	var names []*ast.Ident
	for _, decl := range f.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if decl.Doc == nil && decl.Name.IsExported() && receiverExported(decl) && !wellKnown(decl) {
				names = append(names, decl.Name)
			}
		case *ast.GenDecl:
			if decl.Tok == token.IMPORT || decl.Doc != nil && decl.Tok != token.TYPE {
				continue
			}
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					single := decl.Doc != nil && !decl.Lparen.IsValid()
					if spec.Name.IsExported() && spec.Doc == nil && !single {
						names = append(names, spec.Name)
					}
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						if name.IsExported() && spec.Doc == nil && spec.Comment == nil {
							names = append(names, name)
						}
					}
				}
			}
		}
	}
	return names
}

// wellKnown reports whether everybody knows what a method does.
func wellKnown(decl *ast.FuncDecl) bool {
	return decl.Recv != nil && slices.Contains([]string{"String", "Error", "Unwrap"}, decl.Name.Name)
}

func receiverExported(decl *ast.FuncDecl) bool {
	if decl.Recv == nil {
		return true
	}
	typ := decl.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if index, ok := typ.(*ast.IndexExpr); ok {
		typ = index.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}

func TestSizes(t *testing.T) {
	const fileLines, functionLines = 400, 60
	tree := loaded(t)
	for _, p := range tree.pkgs {
		for _, f := range p.files {
			if f.generated {
				continue
			}
			if f.lines > fileLines {
				t.Logf("%s has %d lines: past %d, think about which noun or verb to move out", f.name, f.lines, fileLines)
			}
			for _, decl := range f.Decls {
				fn, ok := decl.(*ast.FuncDecl)
				if !ok || f.test {
					continue
				}
				n := tree.fset.Position(fn.End()).Line - tree.fset.Position(fn.Pos()).Line + 1
				if n > functionLines {
					t.Logf("%s: %s has %d lines: past %d, it probably does two things", tree.position(f, fn), fn.Name.Name, n, functionLines)
				}
			}
		}
	}
}

func TestNamesDoNotStutter(t *testing.T) {
	banned := []string{"util", "utils", "common", "helpers", "types", "misc"}
	for _, p := range loaded(t).pkgs {
		for _, b := range banned {
			if path.Base(p.path) == b {
				t.Errorf("package %s: name it for what it provides", p.path)
			}
		}
		for _, name := range p.types.Scope().Names() {
			if ast.IsExported(name) && strings.HasSuffix(name, "Manager") {
				t.Errorf("%s.%s: say what it manages by what it does (Proposer, Dispatcher …)", p.path, name)
			}
		}
	}
}
