package rpc

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const maxFilter = 4096

const filterTerms = `state=, queue=, kind=, label.KEY=, batch=, worker=, error=, time>=, time<, id>= or id<=`

// filter parses terms joined by blanks or AND, all of which must hold:
//
//	state=READY,RUNNING queue=mail kind=send label.tenant=7 batch=3 worker=w1
//	error=9a3f01c2d4e5b687 time>=2026-01-31T09:00:00Z time<2026-02-01T00:00:00Z id>=1000 id<=2000
//
// A value, and the key of a label, may stand in double quotes, as in Go.
func (v *violations) filter(s string) *fsmpb.TaskFilter {
	out := new(fsmpb.TaskFilter)
	if len(s) > maxFilter {
		v.add("filter", "got %d bytes, want at most %d", len(s), maxFilter)
		return out
	}
	p := filterParser{rest: s, out: out}
	for p.skip() {
		if err := p.term(); err != nil {
			v.add("filter", "%v", err)
			return out
		}
	}
	return out
}

// filterParser reads a filter from the left.
type filterParser struct {
	rest string
	out  *fsmpb.TaskFilter
	seen []string // names of terms that may stand once
}

// skip goes to the next term, if there is one.
func (p *filterParser) skip() bool {
	for {
		p.rest = strings.TrimLeft(p.rest, " \t\n")
		after, and := strings.CutPrefix(p.rest, "AND")
		if !and || after != "" && !strings.ContainsAny(after[:1], " \t\n") {
			return p.rest != ""
		}
		p.rest = after
	}
}

// term reads one term and notes what it asks for.
func (p *filterParser) term() error {
	whole, _, _ := strings.Cut(p.rest, " ")
	if after, ok := strings.CutPrefix(p.rest, "label."); ok {
		p.rest = after
		key, err := p.word("=")
		if err != nil {
			return err
		}
		return p.label(whole, key)
	}
	i := strings.IndexAny(p.rest, "=<> ")
	if i < 0 || p.rest[i] == ' ' {
		return fmt.Errorf("term %s: want name=value, as in state=READY", quoted(whole))
	}
	name, op := p.rest[:i], p.rest[i:i+1]
	if strings.HasPrefix(p.rest[i+1:], "=") && op != "=" {
		op += "="
	}
	p.rest = p.rest[i+len(op):]
	value, err := p.word(" \t\n")
	if err != nil {
		return err
	}
	name += op
	if value == "" {
		return fmt.Errorf("term %s: want a value", quoted(whole))
	}
	if slices.Contains(p.seen, name) {
		return fmt.Errorf("term %s: %s stands twice", quoted(whole), name)
	}
	p.seen = append(p.seen, name)
	return p.set(whole, name, value)
}

// word reads text in quotes, or up to one of these characters.
func (p *filterParser) word(ends string) (string, error) {
	if strings.HasPrefix(p.rest, `"`) {
		q, err := strconv.QuotedPrefix(p.rest)
		if err != nil {
			return "", fmt.Errorf("%s: quotes do not end", quoted(p.rest))
		}
		p.rest = p.rest[len(q):]
		return strconv.Unquote(q)
	}
	i := strings.IndexAny(p.rest, ends)
	if i < 0 {
		i = len(p.rest)
	}
	word := p.rest[:i]
	p.rest = p.rest[i:]
	return word, nil
}

func (p *filterParser) label(whole, key string) error {
	var ok bool
	if p.rest, ok = strings.CutPrefix(p.rest, "="); !ok || key == "" || len(key) > maxLabelKey {
		return fmt.Errorf("term %s: want label.KEY=VALUE with a key of 1 to %d bytes", quoted(whole), maxLabelKey)
	}
	value, err := p.word(" \t\n")
	if err != nil {
		return err
	}
	if len(value) > maxLabel || len(p.out.Labels) == maxLabels {
		return fmt.Errorf("term %s: want at most %d labels with values of at most %d bytes", quoted(whole), maxLabels, maxLabel)
	}
	p.out.Labels = append(p.out.Labels, &fsmpb.Label{Key: key, Value: value})
	return nil
}

// set notes what a term with one value asks for.
func (p *filterParser) set(whole, name, value string) (err error) {
	f := p.out
	switch name {
	case "state=":
		f.States, err = states(value)
	case "queue=":
		f.Queue = value
	case "kind=":
		f.Kind = value
	case "worker=":
		f.Worker = value
	case "batch=":
		f.Batch, err = filterID("batch", value)
	case "id>=":
		f.First, err = filterID("id", value)
	case "id<=":
		f.Last, err = filterID("id", value)
	case "error=":
		if f.Group, err = strconv.ParseUint(value, 16, 64); err != nil || len(value) != 16 || f.Group == 0 {
			err = fmt.Errorf("error %s: want the 16 hexadecimal digits of a group of dead tasks", quoted(value))
		}
	case "time>=":
		f.Since, err = filterTime(value)
	case "time<":
		f.Until, err = filterTime(value)
	default:
		err = fmt.Errorf("term %s: want %s", quoted(whole), filterTerms)
	}
	return err
}

func states(value string) (out []uint32, err error) {
	for name := range strings.SplitSeq(value, ",") {
		state, ok := taskraftv1.TaskState_value[strings.ToUpper(name)]
		if !ok || state == 0 {
			return nil, fmt.Errorf("state %s: want SCHEDULED, READY, RUNNING, STOPPING, SUCCEEDED, DEAD or CANCELLED", quoted(name))
		}
		out = append(out, uint32(state))
	}
	return out, nil
}

func filterID(what, value string) (uint64, error) {
	id, err := strconv.ParseUint(value, 10, 64)
	if err != nil || id == 0 {
		return 0, fmt.Errorf("%s %s: want a number of 1 or more", what, quoted(value))
	}
	return id, nil
}

func filterTime(value string) (int64, error) {
	t, err := time.Parse(time.RFC3339Nano, value)
	if err != nil || t.Year() < 1971 || t.Year() > 2200 {
		return 0, fmt.Errorf("time %s: want one like 2026-01-31T09:00:00Z", quoted(value))
	}
	return t.UnixNano(), nil
}

// bulkFilter parses the filter of tasks that are to be cancelled: it must say
// something, and nothing about tasks that have ended.
func (v *violations) bulkFilter(s string) *fsmpb.TaskFilter {
	f := v.filter(s)
	if strings.TrimSpace(s) == "" {
		v.add("filter", "missing: want at least one term; id>=1 means all tasks")
	}
	err := errors.New("want SCHEDULED, READY, RUNNING or STOPPING: a task that has ended is not cancelled")
	for _, state := range f.States {
		if fsm.State(state).Terminal() {
			v.add("filter", "state %s: %v", fsm.State(state), err)
		}
	}
	if f.Group != 0 {
		v.add("filter", "error=: %v", err)
	}
	return f
}
