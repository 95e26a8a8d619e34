package show

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Format is a value of -o.
type Format string

// The formats.
const (
	Tabular Format = "table"
	Wide    Format = "wide"
	JSON    Format = "json"
	JSONL   Format = "jsonl"
	YAML    Format = "yaml"
	Name    Format = "name"
)

// Formats are all formats as texts, for checks and completion.
var Formats = []string{string(Tabular), string(Wide), string(JSON), string(JSONL), string(YAML), string(Name)}

// Printer prints to one writer in one format.
type Printer struct {
	Out    io.Writer
	Format Format
	Color  bool
}

// People tells whether a person reads the output.
func (p *Printer) People() bool { return p.Format == Tabular || p.Format == Wide }

// Object prints one thing: by name for -o name, by people for table and wide,
// and its JSON form otherwise.
func (p *Printer) Object(v any, name string, people func(io.Writer) error) error {
	switch p.Format {
	case Tabular, Wide:
		return people(p.Out)
	case Name:
		_, err := fmt.Fprintln(p.Out, name)
		return err
	}
	data, err := Marshal(v)
	if err != nil {
		return err
	}
	return p.structured(data)
}

func (p *Printer) structured(data []byte) error {
	var b bytes.Buffer
	switch p.Format {
	case JSONL:
		b.Write(data)
		b.WriteByte('\n')
	case YAML:
		text, err := toYAML(data)
		if err != nil {
			return err
		}
		b.Write(text)
	default:
		if err := json.Indent(&b, data, "", "  "); err != nil {
			return fmt.Errorf("indent json: %w", err)
		}
		b.WriteByte('\n')
	}
	_, err := p.Out.Write(b.Bytes())
	return err
}

// Marshal returns v as compact JSON with the API's keys. Messages show their
// zero values too, so that a program finds every counter.
func Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return json.Marshal(v)
	}
	data, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode json: %w", err)
	}
	var b bytes.Buffer // protojson varies its blanks on purpose
	if err := json.Compact(&b, data); err != nil {
		return nil, fmt.Errorf("compact json: %w", err)
	}
	return b.Bytes(), nil
}

// toYAML keeps the order of the keys.
func toYAML(data []byte) ([]byte, error) {
	var n yaml.Node
	if err := yaml.Unmarshal(data, &n); err != nil {
		return nil, fmt.Errorf("convert to yaml: %w", err)
	}
	block(&n)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&n); err != nil {
		return nil, fmt.Errorf("encode yaml: %w", err)
	}
	return b.Bytes(), nil
}

// block takes the braces and quotes of JSON away where YAML needs none.
func block(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		block(child)
	}
}
