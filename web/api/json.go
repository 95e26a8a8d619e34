package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// format is how messages are written and read: snake case, what is empty left out,
// and nothing unknown accepted.
type format struct {
	runtime.JSONPb
	media     string
	prefix    string // before each message of a stream
	delimiter string // behind it
	many      bool   // a body is a sequence of messages
}

var (
	jsonpb = runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{UseProtoNames: true}}
	plain  = &format{JSONPb: jsonpb, media: mimeJSON, delimiter: "\n"}
	lines  = &format{JSONPb: jsonpb, media: mimeLines, delimiter: "\n", many: true}
	events = &format{JSONPb: jsonpb, media: mimeEvents, prefix: "data: ", delimiter: "\n\n"}
)

// ContentType implements runtime.Marshaler.
func (f *format) ContentType(any) string { return f.media }

// Delimiter implements runtime.Delimited.
func (f *format) Delimiter() []byte { return []byte(f.delimiter) }

// StreamContentType implements runtime.StreamContentType.
func (f *format) StreamContentType(any) string {
	if f.media == mimeJSON {
		return mimeLines
	}
	return f.media
}

// Marshal implements runtime.Marshaler.
func (f *format) Marshal(v any) ([]byte, error) {
	if m, ok := v.(map[string]any); ok && f.media == mimeEvents {
		if m, ok := m["result"].(*taskraftv1.WatchEventsResponse); ok {
			return f.happened(m)
		}
	}
	b, err := f.JSONPb.Marshal(v)
	if err != nil || f.prefix == "" {
		return b, err
	}
	return append([]byte(f.prefix), b...), nil
}

// happened makes a server-sent event of each event, under its cursor. A last one without
// data moves a browser's Last-Event-ID on behind what did not match.
func (f *format) happened(m *taskraftv1.WatchEventsResponse) ([]byte, error) {
	var out []byte
	for _, e := range m.GetEvents() {
		b, err := f.JSONPb.Marshal(e)
		if err != nil {
			return nil, err
		}
		out = fmt.Appendf(out, "id: %s\n%s%s%s", e.GetCursor(), f.prefix, b, f.delimiter)
	}
	return fmt.Appendf(out, "id: %s", m.GetCursor()), nil
}

// NewDecoder implements runtime.Marshaler.
func (f *format) NewDecoder(r io.Reader) runtime.Decoder {
	if f.many {
		d := json.NewDecoder(r)
		return runtime.DecoderFunc(func(v any) error {
			var raw json.RawMessage
			if err := d.Decode(&raw); err != nil {
				return err
			}
			return unmarshal(raw, v)
		})
	}
	return runtime.DecoderFunc(func(v any) error {
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(data)) == 0 {
			return io.EOF
		}
		return unmarshal(data, v)
	})
}

// unmarshal reads one message and nothing behind it; v is a message or a pointer to
// a field that holds one.
func unmarshal(data []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		field := reflect.ValueOf(v).Elem()
		if field.Kind() != reflect.Pointer {
			return fmt.Errorf("body of type %T", v)
		}
		fresh := reflect.New(field.Type().Elem())
		if m, ok = fresh.Interface().(proto.Message); !ok {
			return fmt.Errorf("body of type %T", v)
		}
		field.Set(fresh)
	}
	err := protojson.Unmarshal(data, m)
	if err != nil && strings.HasSuffix(err.Error(), io.ErrUnexpectedEOF.Error()) { // it is not wrapped
		return fmt.Errorf("the JSON ends within a value, after %d bytes", len(data))
	}
	return err
}

// readable takes out of a message what only its library means.
func readable(s string) string {
	s = strings.ReplaceAll(s, "\u00a0", " ")
	return strings.TrimSpace(strings.TrimPrefix(s, "proto:"))
}
