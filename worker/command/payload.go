package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// payload is what a task asks for.
type payload struct {
	Argv  []string `json:"argv"`
	Env   env      `json:"env"`
	Dir   string   `json:"dir"`
	Stdin string   `json:"stdin"`
}

// env is a JSON object whose names are unique.
type env map[string]string

// UnmarshalJSON implements json.Unmarshaler.
func (e *env) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("env: want an object of strings")
	}
	*e = env{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fmt.Errorf("env: %w", err)
		}
		value, err := d.Token()
		if err != nil {
			return fmt.Errorf("env: %w", err)
		}
		name := key.(string) // the names of a valid object are strings
		text, ok := value.(string)
		if !ok {
			return fmt.Errorf("env: %.64q: want a string", name)
		}
		if _, twice := (*e)[name]; twice {
			return fmt.Errorf("env: %.64q is given twice", name)
		}
		(*e)[name] = text
	}
	return nil
}

func parse(data []byte) (*payload, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var p payload
	if err := d.Decode(&p); err != nil {
		return nil, fmt.Errorf("read command payload: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read command payload: more than one JSON value")
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("command payload: %w", err)
	}
	return &p, nil
}

func (p *payload) check() error {
	if len(p.Argv) == 0 || p.Argv[0] == "" {
		return errors.New("argv: want a program and its arguments")
	}
	for i, arg := range p.Argv {
		if strings.ContainsRune(arg, 0) {
			return fmt.Errorf("argv[%d]: holds a NUL byte", i)
		}
	}
	for name, value := range p.Env {
		if err := checkVariable(name, value); err != nil {
			return fmt.Errorf("env: %.64q: %w", name, err)
		}
	}
	if p.Dir == "" {
		return nil
	}
	if !filepath.IsAbs(p.Dir) {
		return fmt.Errorf("dir: %.64q: want an absolute path", p.Dir)
	}
	if info, err := os.Stat(p.Dir); err != nil {
		return fmt.Errorf("dir: %w", err)
	} else if !info.IsDir() {
		return fmt.Errorf("dir: %.64q: not a directory", p.Dir)
	}
	return nil
}

// checkVariable refuses what would change which code runs, and what no program
// could read.
func checkVariable(name, value string) error {
	switch {
	case name == "":
		return errors.New("a name is empty")
	case strings.ContainsAny(name, "=\x00"):
		return errors.New("the name holds = or NUL")
	case strings.ContainsRune(value, 0):
		return errors.New("the value holds a NUL byte")
	case name == "PATH", name == "GCONV_PATH", name == "GLIBC_TUNABLES", strings.HasPrefix(name, "LD_"), strings.HasPrefix(name, "DYLD_"):
		return errors.New("not allowed: it changes which code runs")
	case strings.HasPrefix(name, "TASKRAFT_"):
		return errors.New("not allowed: the worker sets it")
	}
	return nil
}
