package task

import (
	"encoding/json"
	"fmt"
	"mime"
)

// Codec turns values into the bytes of a payload or result and back. It may be
// called from many goroutines.
type Codec interface {
	// ContentType is sent with the bytes, at most 128 bytes long.
	ContentType() string
	Marshal(v any) ([]byte, error)
	Unmarshal(data []byte, v any) error
}

// JSON is the codec of every Definition that is not given another.
var JSON Codec = jsonCodec{}

type jsonCodec struct{}

func (jsonCodec) ContentType() string                { return "application/json" }
func (jsonCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

// decode reads data into v. No data at all leaves the zero value, so that a task
// of a kind that needs nothing may be submitted without a payload; no content type
// is taken for the codec's, since a person may have written the payload.
func decode(c Codec, contentType string, data []byte, v any) error {
	if contentType != "" && mediaType(contentType) != mediaType(c.ContentType()) {
		return fmt.Errorf("content type %.128q, want %s", contentType, c.ContentType())
	}
	if len(data) == 0 {
		return nil
	}
	return c.Unmarshal(data, v)
}

// mediaType is a content type without its parameters.
func mediaType(s string) string {
	if m, _, err := mime.ParseMediaType(s); err == nil {
		return m
	}
	return s
}
