package settings

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// given is a row as a flag. It keeps the texts for Resolve and refuses nothing,
// so that one run reports everything that is wrong.
type given struct {
	row   *Row
	texts []string
}

func (g *given) Set(s string) error {
	g.texts = append(g.texts, s)
	return nil
}

func (g *given) String() string { return "" }

// Type is the word for the argument in usage texts.
func (g *given) Type() string {
	if g.row.IsSwitch() {
		return "bool"
	}
	return g.row.Arg
}

// Bind adds a flag for every row that flags does not have yet.
func (t Table) Bind(flags *pflag.FlagSet) {
	for _, r := range t {
		if flags.Lookup(r.Flag) != nil {
			continue
		}
		f := flags.VarPF(&given{row: r}, r.Flag, r.Short, r.usage())
		if r.IsSwitch() {
			f.NoOptDefVal = "true"
		}
	}
}

// usage is the row's text in --help.
func (r *Row) usage() string {
	text := r.Doc
	if r.Default != "" && !r.IsSwitch() || r.Default == "true" {
		text += " (default " + r.Default + ")"
	}
	if r.Env != "" {
		text += " [" + r.Env + "]"
	}
	return text
}

// texts returns what the command line gave for the row.
func (r *Row) texts(flags *pflag.FlagSet) []string {
	f := flags.Lookup(r.Flag)
	if f == nil {
		return nil
	}
	if g, ok := f.Value.(*given); ok {
		return g.texts
	}
	return nil
}

// UnknownFlags returns a problem for each flag in args that flags does not have,
// following the same rules as pflag for where values stand.
func UnknownFlags(flags *pflag.FlagSet, args []string) []Problem {
	var out []Problem
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			break
		}
		switch name, short, value := splitFlag(arg); {
		case name != "":
			f := flags.Lookup(name)
			if f == nil {
				out = append(out, unknownFlag(flags, name))
			} else if !value && f.NoOptDefVal == "" {
				i++
			}
		case short != "":
			takesNext, bad := shorts(flags, short)
			if bad != "" {
				out = append(out, Problem{Where: "-" + bad, Problem: "unknown flag -" + bad, Do: "see --help"})
			}
			if takesNext {
				i++
			}
		}
	}
	return out
}

// splitFlag takes --name, --name=value or -short apart; all empty if arg is no flag.
func splitFlag(arg string) (name, short string, hasValue bool) {
	if rest, long := strings.CutPrefix(arg, "--"); long {
		name, _, hasValue = strings.Cut(rest, "=")
		return name, "", hasValue
	}
	if rest, ok := strings.CutPrefix(arg, "-"); ok && rest != "" {
		return "", rest, false
	}
	return "", "", false
}

// shorts walks a cluster like -qo: it tells whether the last letter takes the
// next argument as its value, and the first letter that is no flag.
func shorts(flags *pflag.FlagSet, cluster string) (takesNext bool, bad string) {
	for i, c := range cluster {
		if c > 0x7e {
			return false, string(c)
		}
		f := flags.ShorthandLookup(string(c))
		if f == nil {
			return false, string(c)
		}
		if f.NoOptDefVal == "" {
			return i == len(cluster)-1, ""
		}
	}
	return false, ""
}

func unknownFlag(flags *pflag.FlagSet, name string) Problem {
	p := Problem{Where: "--" + name, Problem: "unknown flag --" + name, Do: "see --help"}
	if near := Nearest(name, flagNames(flags)); near != "" {
		p.Problem += " (did you mean --" + near + "?)"
	}
	return p
}

func flagNames(flags *pflag.FlagSet) iter.Seq[string] {
	var names []string
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	return slices.Values(names)
}

// positions tells where in args a flag stands, counting from 1.
func (r *Row) positions(args []string) string {
	var at []string
	for i, arg := range args {
		if arg == "--" {
			break
		}
		name, short, _ := splitFlag(arg)
		if name == r.Flag || r.Short != "" && strings.HasPrefix(short, r.Short) {
			at = append(at, fmt.Sprint(i+1))
		}
	}
	return strings.Join(at, " and ")
}
