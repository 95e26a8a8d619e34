package tidy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const (
	module = "github.com/taskraft/taskraft"
	root   = "../.."
)

// listed is what `go list` tells of a package.
type listed struct {
	ImportPath   string
	Dir          string
	Name         string
	Export       string
	Standard     bool
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
	Error        *struct{ Err string }
}

// pkg is a package of this module, parsed; types are there for its non-test files.
type pkg struct {
	path  string // relative to the module: "fsm", "cmd/taskraft", "."
	name  string
	files []*file // sorted by name
	types *types.Package
	info  *types.Info
}

// file is one Go source file.
type file struct {
	*ast.File
	name      string // relative to the module, with slashes
	test      bool
	generated bool
	lines     int
}

// tree is the module: every package with its files.
type tree struct {
	fset   *token.FileSet
	pkgs   []*pkg
	broken []error // packages that do not compile; they are not in pkgs
}

// load parses and type-checks the module once for all tests.
var load = sync.OnceValues(func() (*tree, error) {
	packages, err := list()
	if err != nil {
		return nil, err
	}
	exports := make(map[string]string)
	for _, p := range packages {
		exports[p.ImportPath] = p.Export
	}
	t := &tree{fset: token.NewFileSet()}
	imports := importer.ForCompiler(t.fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no export data for %s", path)
		}
		return os.Open(exports[path])
	})
	for _, p := range packages {
		if p.Standard || !within(p.ImportPath, module) {
			continue
		}
		if p.Error != nil {
			t.broken = append(t.broken, errors.New(strings.TrimSpace(p.Error.Err)))
			continue
		}
		parsed, err := t.parse(p, imports)
		if err != nil {
			t.broken = append(t.broken, err)
			continue
		}
		t.pkgs = append(t.pkgs, parsed)
	}
	return t, nil
})

func list() ([]*listed, error) {
	cmd := exec.Command("go", "list", "-e", "-deps", "-export",
		"-json=ImportPath,Dir,Name,Export,Standard,GoFiles,TestGoFiles,XTestGoFiles,Error", "./...")
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var packages []*listed
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		p := new(listed)
		switch err := dec.Decode(p); {
		case errors.Is(err, io.EOF):
			return packages, nil
		case err != nil:
			return nil, fmt.Errorf("go list: %w", err)
		}
		packages = append(packages, p)
	}
}

func (t *tree) parse(p *listed, imports types.Importer) (*pkg, error) {
	out := &pkg{path: strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/"), name: p.Name}
	var plain []*ast.File
	for i, names := range [][]string{p.GoFiles, p.TestGoFiles, p.XTestGoFiles} {
		for _, name := range names {
			f, err := t.parseFile(filepath.Join(p.Dir, name))
			if err != nil {
				return nil, err
			}
			f.name, f.test = out.path+"/"+name, i > 0
			out.files = append(out.files, f)
			if !f.test {
				plain = append(plain, f.File)
			}
		}
	}
	out.info = &types.Info{
		Types: make(map[ast.Expr]types.TypeAndValue),
		Uses:  make(map[*ast.Ident]types.Object),
		Defs:  make(map[*ast.Ident]types.Object),
	}
	conf := types.Config{Importer: imports}
	checked, err := conf.Check(p.ImportPath, t.fset, plain, out.info)
	if err != nil {
		return nil, fmt.Errorf("type-check %s: %w", p.ImportPath, err)
	}
	out.types = checked
	return out, nil
}

func (t *tree) parseFile(path string) (*file, error) {
	f, err := parser.ParseFile(t.fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &file{File: f, generated: ast.IsGenerated(f), lines: t.fset.File(f.Pos()).LineCount()}, nil
}

// position returns file:line of a node, the file relative to the module.
func (t *tree) position(f *file, n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.name, t.fset.Position(n.Pos()).Line)
}

func TestPackagesCompile(t *testing.T) {
	for _, err := range loaded(t).broken {
		t.Error(err)
	}
}

// loaded returns the module.
func loaded(t *testing.T) *tree {
	t.Helper()
	tr, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// within reports whether path is prefix or lies below it.
func within(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}
