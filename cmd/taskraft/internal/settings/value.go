package settings

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

type switchValue struct{ p *bool }

// Switch is true, false, or a flag without a value.
func Switch(p *bool) Value { return &switchValue{p} }

func (v *switchValue) Set(texts []string) error {
	switch texts[0] {
	case "true":
		*v.p = true
	case "false":
		*v.p = false
	default:
		return &Invalid{Problem: "not a switch", Want: "true or false"}
	}
	return nil
}

func (v *switchValue) String() string { return strconv.FormatBool(*v.p) }

type textValue struct {
	p     *string
	check func(string) error
}

// Text is any text that check accepts; nil accepts all.
func Text(p *string, check func(string) error) Value { return &textValue{p, check} }

func (v *textValue) Set(texts []string) error {
	if v.check != nil {
		if err := v.check(texts[0]); err != nil {
			return err
		}
	}
	*v.p = texts[0]
	return nil
}

func (v *textValue) String() string { return *v.p }

// Match returns a check for text that must match the whole expression.
func Match(what, expr string) func(string) error {
	re := regexp.MustCompile("^(?:" + expr + ")$")
	return func(s string) error {
		if !re.MatchString(s) || strings.HasSuffix(s, "\n") {
			return &Invalid{Problem: "not " + what, Want: expr}
		}
		return nil
	}
}

// OneOf returns a check for one of the listed words.
func OneOf(words ...string) func(string) error {
	return func(s string) error {
		if slices.Contains(words, s) {
			return nil
		}
		e := &Invalid{Problem: "unknown value", Want: strings.Join(words, ", ")}
		if near := Nearest(s, slices.Values(words)); near != "" {
			e.Do = "did you mean " + near + "?"
		}
		return e
	}
}

type intValue[T ~int | ~int32 | ~int64 | ~uint32 | ~uint64] struct {
	p         *T
	low, high int64
	set       *bool
}

// Int is a whole number from low to high. set, if not nil, becomes true once the
// number is given, for options whose absence means something.
func Int[T ~int | ~int32 | ~int64 | ~uint32 | ~uint64](p *T, low, high int64, set *bool) Value {
	return &intValue[T]{p, low, high, set}
}

func (v *intValue[T]) Set(texts []string) error {
	n, err := strconv.ParseInt(texts[0], 10, 64)
	if err != nil || n < v.low || n > v.high {
		problem := "out of range"
		if err != nil {
			problem = "not a whole number"
		}
		return &Invalid{Problem: problem, Want: fmt.Sprintf("%d to %d", v.low, v.high)}
	}
	*v.p = T(n)
	if v.set != nil {
		*v.set = true
	}
	return nil
}

func (v *intValue[T]) String() string {
	if v.set != nil && !*v.set {
		return ""
	}
	return fmt.Sprint(*v.p)
}

type durationValue struct {
	p         *time.Duration
	low, high time.Duration
}

// Duration is a duration with its unit, from low to high.
func Duration(p *time.Duration, low, high time.Duration) Value {
	return &durationValue{p, low, high}
}

func (v *durationValue) Set(texts []string) error {
	d, err := time.ParseDuration(texts[0])
	if err == nil && texts[0] == "0" {
		err = strconv.ErrSyntax // ParseDuration allows it; here every duration has a unit
	}
	if err != nil || d < v.low || d > v.high {
		problem := "out of range"
		if err != nil {
			problem = "not a duration with a unit"
		}
		return &Invalid{
			Problem: problem,
			Want:    fmt.Sprintf("duration like 500ms, min %s max %s", ShortDuration(v.low), ShortDuration(v.high)),
		}
	}
	*v.p = d
	return nil
}

func (v *durationValue) String() string {
	if *v.p == 0 {
		return ""
	}
	return ShortDuration(*v.p)
}

// ShortDuration is d without the zero parts that time.Duration prints: 10m, not 10m0s.
func ShortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

type sizeValue struct {
	p         *int64
	low, high int64
}

// Size is a number of bytes from low to high, with or without a unit.
func Size(p *int64, low, high int64) Value { return &sizeValue{p, low, high} }

var units = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"kB", 1e3},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"TiB", 1 << 40},
	{"B", 1},
}

func (v *sizeValue) Set(texts []string) error {
	n, ok := parseSize(texts[0])
	if !ok || n < v.low || n > v.high {
		problem := "out of range"
		if !ok {
			problem = "not a size"
		}
		return &Invalid{
			Problem: problem,
			Want:    fmt.Sprintf("%s to %s, in B, KiB, MiB, GiB, kB, MB or GB", FormatSize(v.low), FormatSize(v.high)),
		}
	}
	*v.p = n
	return nil
}

func parseSize(s string) (int64, bool) {
	unit := int64(1)
	for _, u := range units {
		if rest, found := strings.CutSuffix(s, u.name); found {
			s, unit = rest, u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n > uint64(math.MaxInt64/unit) {
		return 0, false
	}
	return int64(n) * unit, true
}

func (v *sizeValue) String() string { return FormatSize(*v.p) }

// FormatSize prints bytes in the largest binary unit that divides them.
func FormatSize(n int64) string {
	for _, u := range []struct {
		name  string
		bytes int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

type listValue struct {
	p     *[]string
	check func(string) error
}

// List is any number of texts that check accepts.
func List(p *[]string, check func(string) error) Value { return &listValue{p, check} }

func (v *listValue) Set(texts []string) error {
	for _, s := range texts {
		if v.check == nil {
			continue
		}
		if err := v.check(s); err != nil {
			return fmt.Errorf("%q: %w", s, err)
		}
	}
	*v.p = slices.Clone(texts)
	return nil
}

func (v *listValue) String() string { return strings.Join(*v.p, ",") }

type pairsValue struct {
	p    *map[string]string
	most int
}

// Pairs is up to most key=value texts.
func Pairs(p *map[string]string, most int) Value { return &pairsValue{p, most} }

func (v *pairsValue) Set(texts []string) error {
	if len(texts) > v.most {
		return &Invalid{Problem: "too many", Want: fmt.Sprintf("at most %d", v.most)}
	}
	m := make(map[string]string, len(texts))
	for _, s := range texts {
		key, value, found := strings.Cut(s, "=")
		if !found || key == "" {
			return fmt.Errorf("%q: %w", s, &Invalid{Problem: "not a pair", Want: "key=value"})
		}
		if old, twice := m[key]; twice && old != value {
			return fmt.Errorf("%q: %w", s, &Invalid{Problem: "key given twice with different values", Want: "each key once"})
		}
		m[key] = value
	}
	*v.p = m
	return nil
}

func (v *pairsValue) String() string {
	var out []string
	for key, value := range *v.p {
		out = append(out, key+"="+value)
	}
	slices.SortFunc(out, cmp.Compare[string])
	return strings.Join(out, ",")
}

type timeValue struct{ p *time.Time }

// Time is a moment in RFC 3339.
func Time(p *time.Time) Value { return &timeValue{p} }

func (v *timeValue) Set(texts []string) error {
	t, err := time.Parse(time.RFC3339Nano, texts[0])
	if err != nil {
		return &Invalid{Problem: "not a time", Want: "RFC 3339 like 2026-01-31T09:00:00Z"}
	}
	*v.p = t
	return nil
}

func (v *timeValue) String() string {
	if v.p.IsZero() {
		return ""
	}
	return v.p.Format(time.RFC3339Nano)
}
