package api

import (
	"fmt"
	"maps"
	"net/url"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/taskraft/taskraft/web/problem"
)

// query reads parameters as the gateway does, but refuses what it would pass over:
// a misspelled parameter must not silently mean nothing.
type query struct{ runtime.DefaultQueryParser }

// Parse implements runtime.QueryParameterParser.
func (q query) Parse(msg proto.Message, values url.Values, filter *utilities.DoubleArray) error {
	for name, v := range values {
		path := strings.Split(name, ".")
		if filter.HasCommonPrefix(path) || !exists(msg.ProtoReflect().Descriptor(), path) {
			return fmt.Errorf("%s is no parameter of this path", problem.Quoted(name))
		}
		if name == "consistency" && len(v) == 1 {
			values = maps.Clone(values)
			values[name] = []string{strings.ToUpper(v[0])}
		}
	}
	return q.DefaultQueryParser.Parse(msg, values, filter)
}

// exists reports whether a message has a field at a path of names.
func exists(m protoreflect.MessageDescriptor, path []string) bool {
	for i, name := range path {
		field := m.Fields().ByTextName(name)
		switch {
		case field == nil:
			return false
		case i == len(path)-1:
			return true
		case field.Message() == nil || field.IsList():
			return false
		}
		m = field.Message()
	}
	return false
}
