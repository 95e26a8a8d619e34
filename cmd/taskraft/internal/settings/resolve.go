package settings

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// Input is everything that values are resolved from.
type Input struct {
	Flags *pflag.FlagSet
	Args  []string // the command line, for positions
	Env   map[string]string
	File  *File // nil: none
}

// Environ turns os.Environ's form into a map.
func Environ(environ []string) map[string]string {
	m := make(map[string]string)
	for _, kv := range environ {
		if key, value, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(key, "TASKRAFT_") {
			m[key] = value
		}
	}
	return m
}

// Resolve sets every row from the strongest place that has it and returns all
// that is wrong.
func (t Table) Resolve(in Input) []Problem {
	var out []Problem
	for _, r := range t {
		out = append(out, r.resolve(in)...)
	}
	return out
}

func (r *Row) resolve(in Input) []Problem {
	var out []Problem
	set := func(texts []string, o Origin) {
		if err := r.Value.Set(texts); err != nil {
			out = append(out, r.problem(texts, o, err))
		}
		r.origin = o
	}
	r.origin = Origin{Kind: "default"}
	if r.Default != "" {
		set(r.split(r.Default), r.origin)
	}
	given := false
	if in.File != nil && r.Path != "" {
		if v, ok := in.File.values[r.Path]; ok {
			given = true
			set(v.texts, Origin{"file", in.File.at(v.line)})
		}
	}
	env, inEnv := in.Env[r.Env]
	inEnv = inEnv && r.Env != ""
	if inEnv && env == "" {
		inEnv = false
		given = true // and refused: no second line for it being missing
		out = append(out, Problem{
			Where: r.Where(), Problem: "set but empty", Got: r.Env + `=""`, Want: r.want(),
			Do: "unset " + r.Env + " or give it a value",
		})
	}
	texts := r.texts(in.Flags)
	switch {
	case len(texts) > 0:
		given = true
		set(r.fromFlags(texts, in.Args, &out), Origin{"flag", "--" + r.Flag})
	case inEnv:
		given = true
		set(r.split(env), Origin{"env", r.Env})
	}
	if r.Required && !given {
		out = append(out, Problem{Where: r.Where(), Problem: "missing", Want: r.want(), Do: r.advice()})
	}
	return out
}

// fromFlags joins a repeated flag's texts, or refuses a second, different one.
func (r *Row) fromFlags(texts, args []string, out *[]Problem) []string {
	if r.List {
		var all []string
		for _, s := range texts {
			all = append(all, r.split(s)...)
		}
		return all
	}
	if slices.ContainsFunc(texts, func(s string) bool { return s != texts[0] }) {
		*out = append(*out, Problem{
			Where: "--" + r.Flag, Problem: "given " + strconv.Itoa(len(texts)) + " times with different values, as arguments " + r.positions(args),
			Got: quoteAll(texts), Want: "one value", Do: "leave all but one out",
		})
	}
	return texts[:1]
}

func (r *Row) split(s string) []string {
	if !r.List || r.Whole {
		return []string{s}
	}
	parts := strings.Split(s, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

func (r *Row) problem(texts []string, o Origin, err error) Problem {
	p := Problem{Where: r.Where(), Problem: err.Error(), Got: quoteAll(texts), Do: r.advice()}
	if o.Kind != "flag" {
		p.Got += " from " + o.String()
	}
	if bad, ok := errors.AsType[*Invalid](err); ok {
		p.Want = bad.Want
		p.Problem = strings.Replace(err.Error(), bad.Error(), bad.Problem, 1)
		if bad.Do != "" {
			p.Do = bad.Do
		}
	}
	return p
}

func (r *Row) want() string {
	if r.Arg == "" {
		return "true or false"
	}
	return r.Arg
}

func (r *Row) advice() string {
	switch {
	case r.Example != "":
		return "for example --" + r.Flag + " " + r.Example
	case r.Default != "":
		return "leave it out for " + r.Default
	}
	return "see --help"
}

func quoteAll(texts []string) string {
	const most = 100
	q := make([]string, len(texts))
	for i, s := range texts {
		if len(s) > most {
			s = strings.ToValidUTF8(s[:most], "") + "…"
		}
		q[i] = strconv.Quote(s)
	}
	return strings.Join(q, " and ")
}

// UnknownEnv returns a problem for each TASKRAFT_ variable that no row of the
// tables knows and that is not among others.
func UnknownEnv(env map[string]string, all Table, others []string) []Problem {
	known := slices.Clone(others)
	for _, r := range all {
		if r.Env != "" {
			known = append(known, r.Env)
		}
	}
	var out []Problem
	for _, key := range slices.Sorted(maps.Keys(env)) {
		if slices.Contains(known, key) {
			continue
		}
		p := Problem{Where: key, Problem: "unknown TASKRAFT_ variable", Do: "unset it"}
		if near := Nearest(key, slices.Values(known)); near != "" {
			p.Problem += " (did you mean " + near + "?)"
		}
		out = append(out, p)
	}
	return out
}
