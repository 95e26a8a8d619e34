package tidy

import (
	"go/ast"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// TestLogMessagesAreConstant keeps messages searchable and countable: the data
// belongs into attributes.
func TestLogMessagesAreConstant(t *testing.T) {
	tree := loaded(t)
	eachCall(tree, func(f *file, call *ast.CallExpr, name string) {
		arg, ok := logMethods[name]
		if !ok || len(call.Args) <= arg || f.test {
			return
		}
		lit, ok := call.Args[arg].(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			t.Errorf("%s: the message of %s is not a constant: put the data into attributes", tree.position(f, call), name)
			return
		}
		message, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		first, _ := utf8.DecodeRuneInString(message)
		if unicode.IsUpper(first) && !strings.HasPrefix(message, "SIG") || strings.HasSuffix(message, ".") {
			t.Errorf("%s: log message %q: messages are lower-case phrases without a full stop", tree.position(f, call), message)
		}
	})
}

// logMethods maps the functions that log to the position of their message.
var logMethods = func() map[string]int {
	methods := make(map[string]int)
	for _, level := range []string{"Debug", "Info", "Warn", "Error"} {
		for _, receiver := range []string{"log/slog.", "log/slog.Logger."} {
			methods[receiver+level] = 0
			methods[receiver+level+"Context"] = 1
		}
	}
	return methods
}()
