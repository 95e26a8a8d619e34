package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const maxFile = 1 << 20

// File is a configuration file that was read and whose keys are all known.
type File struct {
	name   string
	values map[string]fileValue
	// Warnings are things to tell the user that are no errors.
	Warnings []string
}

type fileValue struct {
	texts []string
	line  int
}

func (f *File) at(line int) string { return fmt.Sprintf("%s:%d", f.name, line) }

// ReadFile reads the YAML file name. Its keys must be those of the table's
// paths, each at most once.
func ReadFile(name string, all Table) (*File, []Problem) {
	data, err := readSmall(name)
	if err != nil {
		return nil, []Problem{{
			Where: "--config (or TASKRAFT_CONFIG)", Problem: "cannot read " + name + ": " + errnoText(err),
			Do: "name a readable YAML file",
		}}
	}
	return parseFile(name, data, all)
}

func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("larger than %s", FormatSize(maxFile))
	}
	return data, err
}

// errnoText is the system's own words, without Go's operation and path.
func errnoText(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}

func parseFile(name string, data []byte, all Table) (*File, []Problem) {
	f := &File{name: name, values: make(map[string]fileValue)}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if at := invalidUTF8(data); at >= 0 {
		return nil, []Problem{{Where: name, Problem: fmt.Sprintf("not UTF-8 at byte %d", at), Do: "save it as UTF-8"}}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		f.Warnings = append(f.Warnings, name+" is empty: using defaults")
		return f, nil
	case err != nil:
		return nil, []Problem{{Where: name, Problem: strings.TrimPrefix(err.Error(), "yaml: "), Do: "mend the YAML"}}
	}
	if !errors.Is(dec.Decode(new(yaml.Node)), io.EOF) {
		return nil, []Problem{{Where: name, Problem: "more than one document", Want: "one", Do: "leave one"}}
	}
	r := reader{file: f, rows: make(map[string]*Row), groups: make(map[string]bool)}
	for _, row := range all {
		if row.Path == "" {
			continue
		}
		r.rows[row.Path] = row
		for path := row.Path; strings.Contains(path, "."); {
			path = path[:strings.LastIndexByte(path, '.')]
			r.groups[path] = true
		}
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, []Problem{{Where: f.at(root.Line), Problem: "not a mapping", Want: "key: value", Do: "see taskraft config show -o yaml"}}
	}
	r.mapping("", root)
	return f, r.problems
}

func invalidUTF8(data []byte) int {
	for at := 0; at < len(data); {
		c, size := utf8.DecodeRune(data[at:])
		if c == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}

type reader struct {
	file     *File
	rows     map[string]*Row
	groups   map[string]bool
	problems []Problem
}

func (r *reader) bad(n *yaml.Node, path string, p Problem) {
	p.Where = r.file.at(n.Line) + ": " + path
	r.problems = append(r.problems, p)
}

func (r *reader) mapping(prefix string, n *yaml.Node) {
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolveAlias(n.Content[i+1])
		path := prefix + key.Value
		if first, twice := seen[path]; twice {
			r.bad(key, path, Problem{Problem: fmt.Sprintf("duplicate key, first on line %d", first), Do: "leave one out"})
			continue
		}
		seen[path] = key.Line
		row := r.rows[path]
		switch {
		case row != nil:
			if texts, ok := r.texts(row, path, value); ok {
				r.file.values[path] = fileValue{texts, key.Line}
			}
		case r.groups[path] && value.Kind == yaml.MappingNode:
			r.mapping(path+".", value)
		case r.groups[path]:
			if value.Tag != "!!null" {
				r.bad(key, path, Problem{Problem: "not a mapping", Want: "keys below it", Do: "see taskraft config show -o yaml"})
			}
		default:
			r.unknown(key, path)
		}
	}
}

func resolveAlias(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func (r *reader) unknown(key *yaml.Node, path string) {
	p := Problem{Problem: "unknown key", Do: "see taskraft config show -o yaml"}
	names := slices.Concat(slices.Sorted(maps.Keys(r.rows)), slices.Sorted(maps.Keys(r.groups)))
	near := Nearest(path, slices.Values(names))
	if near == "" {
		near = nearestEnd(path, names)
	}
	if near != "" {
		p.Problem += " (did you mean " + near + "?)"
	}
	r.bad(key, path, p)
}

// nearestEnd looks for a key that stands in the wrong place: its last part is
// known elsewhere.
func nearestEnd(path string, names []string) string {
	ends := make(map[string]string)
	for _, name := range names {
		ends[name[strings.LastIndexByte(name, '.')+1:]] = name
	}
	return ends[Nearest(path[strings.LastIndexByte(path, '.')+1:], maps.Keys(ends))]
}

// texts turns a node into what Value.Set takes.
func (r *reader) texts(row *Row, path string, n *yaml.Node) ([]string, bool) {
	refuse := func(want string) ([]string, bool) {
		r.bad(n, path, Problem{Problem: "wrong kind of value", Want: want, Do: row.advice()})
		return nil, false
	}
	switch {
	case n.Tag == "!!null":
		return refuse(row.want())
	case n.Kind == yaml.ScalarNode:
		return row.split(n.Value), true
	case !row.List:
		return refuse("one value")
	}
	var texts []string
	for i, item := range n.Content {
		item = resolveAlias(item)
		if item.Kind != yaml.ScalarNode {
			return refuse("a list of values")
		}
		if n.Kind == yaml.MappingNode && i%2 == 1 {
			texts[len(texts)-1] += "=" + item.Value
			continue
		}
		texts = append(texts, item.Value)
	}
	if len(texts) == 0 {
		return refuse("at least one value")
	}
	return texts, true
}
