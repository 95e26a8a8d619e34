package events

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Cursor is a place in the stream of events: behind the event with this number of
// this entry. Sub 0 is before the entry's first event.
type Cursor struct {
	Index uint64
	Sub   uint32
}

// String returns INDEX.SUB.
func (c Cursor) String() string {
	return strconv.FormatUint(c.Index, 10) + "." + strconv.FormatUint(uint64(c.Sub), 10)
}

// Before reports whether c comes before d.
func (c Cursor) Before(d Cursor) bool {
	return c.Index < d.Index || c.Index == d.Index && c.Sub < d.Sub
}

var errCursor = errors.New("want INDEX or INDEX.SUB")

// ParseCursor reads INDEX.SUB, or INDEX for INDEX.0.
func ParseCursor(s string) (Cursor, error) {
	index, sub, cut := strings.Cut(s, ".")
	c := Cursor{}
	var err error
	if c.Index, err = parseNumber(index, 64); err != nil {
		return Cursor{}, fmt.Errorf("got %q: %w", s, errCursor)
	}
	if !cut {
		return c, nil
	}
	n, err := parseNumber(sub, 32)
	if err != nil {
		return Cursor{}, fmt.Errorf("got %q: %w", s, errCursor)
	}
	c.Sub = uint32(n)
	return c, nil
}

// parseNumber reads digits only: ParseUint also takes a sign.
func parseNumber(s string, bits int) (uint64, error) {
	if strings.Trim(s, "0123456789") != "" {
		return 0, errCursor
	}
	return strconv.ParseUint(s, 10, bits)
}
