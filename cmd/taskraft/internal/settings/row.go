package settings

import "strings"

// Value is where a setting's text ends up. Set gets one text, or for a List
// every text given; its error is an *Invalid.
type Value interface {
	Set(texts []string) error
	// String is the present value in the form that Set takes.
	String() string
}

// Row describes one setting.
type Row struct {
	// Flag is the flag's name and Short its one-letter form, if any.
	Flag, Short string
	// Env and Path name the environment variable and the key in the file (dots
	// between levels). Both are empty for what belongs to one call only.
	Env, Path string
	// Arg stands for the value in usage texts; "" for a switch.
	Arg     string
	Doc     string
	Default string
	Value   Value
	// List rows may be repeated; a text may hold several values between commas.
	List bool
	// Whole rows take a text as it is: empty is a value and commas are not split.
	Whole bool
	// Required rows have no default and must be given.
	Required bool
	// Example is a value to suggest when the given one is wrong.
	Example string

	origin Origin
}

// Table is the settings of one command, in the order of its usage text.
type Table []*Row

// Find returns the row with that flag, nil if there is none.
func (t Table) Find(flag string) *Row {
	for _, r := range t {
		if r.Flag == flag {
			return r
		}
	}
	return nil
}

// Where names the places in which the setting can be given.
func (r *Row) Where() string {
	where := "--" + r.Flag
	if r.Path != "" {
		where += " (or " + r.Path + ", or " + r.Env + ")"
	}
	return where
}

// Words are the values that Arg lists, as in "text|json"; nil if it lists none.
func (r *Row) Words() []string {
	if !strings.Contains(r.Arg, "|") || strings.Contains(r.Arg, "FILE") {
		return nil
	}
	return strings.Split(r.Arg, "|")
}

// IsSwitch tells whether the flag takes no argument.
func (r *Row) IsSwitch() bool {
	_, ok := r.Value.(*switchValue)
	return ok
}

// Origin says where a value came from.
type Origin struct {
	// Kind is "flag", "env", "file" or "default".
	Kind string
	// At is the flag, the variable or file:line.
	At string
}

func (o Origin) String() string {
	if o.At == "" {
		return o.Kind
	}
	return o.Kind + " " + o.At
}

// Origin returns where Resolve took the row's value from.
func (r *Row) Origin() Origin { return r.origin }

// Problem is one thing wrong with what was given, as one line for the user.
type Problem struct {
	Where   string // the setting, with all its names, or file:line: key
	Problem string
	Got     string // as quoted or described; "" when there is nothing to show
	Want    string
	Do      string
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Where + ": " + p.Problem)
	switch {
	case p.Got != "" && p.Want != "":
		b.WriteString(" (got " + p.Got + ", want " + p.Want + ")")
	case p.Got != "":
		b.WriteString(" (got " + p.Got + ")")
	case p.Want != "":
		b.WriteString(" (want " + p.Want + ")")
	}
	if p.Do != "" {
		b.WriteString(": " + p.Do)
	}
	return b.String()
}

// Invalid is why a Value refuses a text.
type Invalid struct {
	Problem string // "not a duration"
	Want    string // the range
	Do      string // what to do; "" for the row's example
}

func (e *Invalid) Error() string { return e.Problem + " (want " + e.Want + ")" }
