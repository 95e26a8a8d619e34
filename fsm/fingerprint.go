package fsm

import "strings"

// maxFingerprint is how much of an error tells it from others, bytes.
const maxFingerprint = 256

// Fingerprint returns what errors of one kind have in common: numbers, hex words
// of eight digits or more and quoted parts become "#", white space one blank. It
// looks at the first bytes only and costs one pass over them.
func Fingerprint(text string) string {
	text = Clip(text, maxFingerprint)
	var b strings.Builder
	b.Grow(len(text))
	for i := 0; i < len(text); {
		n, mark := span(text[i:], i > 0 && isWord(text[i-1]))
		switch {
		case mark == 0:
			b.WriteString(text[i : i+n])
		case mark != ' ' || b.Len() > 0:
			b.WriteByte(mark)
		}
		i += n
	}
	return strings.TrimRight(b.String(), " ")
}

// span returns the length of what stands first in text and what stands for it; 0:
// itself. inside tells that a word began before it.
func span(text string, inside bool) (n int, mark byte) {
	switch c := text[0]; {
	case c <= ' ':
		return run(text, func(c byte) bool { return c <= ' ' }), ' '
	case c == '"' || c == '`' || c == '\'' && !inside:
		if end := strings.IndexByte(text[1:], c); end >= 0 {
			return end + 2, '#'
		}
		return 1, 0
	case !inside && isWord(c):
		if n = run(text, isHexWord); n >= 8 && (n == len(text) || !isWord(text[n])) && strings.ContainsAny(text[:n], "0123456789") {
			return n, '#'
		}
	}
	if isDigit(text[0]) {
		if strings.HasPrefix(text, "0x") {
			return 2 + run(text[2:], isWord), '#'
		}
		return run(text, isDigit), '#'
	}
	return 1, 0
}

// run returns how many bytes at the beginning of text are of a kind.
func run(text string, is func(byte) bool) int {
	n := 0
	for n < len(text) && is(text[n]) {
		n++
	}
	return n
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isWord(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c >= 0x80
}

// isHexWord takes the dashes of a UUID along.
func isHexWord(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' || c == '-'
}
