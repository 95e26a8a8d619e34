package api

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
)

//go:embed openapi.json
var generated []byte

// object is a JSON object of the document.
type object = map[string]any

// serveDocument answers with the OpenAPI document.
func serveDocument(w http.ResponseWriter) {
	w.Header().Set("Content-Type", mimeJSON)
	_, _ = w.Write(document()) // the client is gone: nobody to tell
}

// document is the generated one and what a generator cannot know: headers, statuses
// and problems.
var document = sync.OnceValue(func() []byte {
	var doc object
	if err := json.Unmarshal(generated, &doc); err != nil {
		panic(err) // it is built in
	}
	doc["info"] = object{
		"title": "Taskraft", "version": "v1",
		"description": "The JSON API of a Taskraft master. Any master answers: what only the leader can do is sent on to it. Fields that are empty are left out of answers; 64-bit integers are strings. Headers of answers: " +
			strings.Join([]string{clusterHeader, termHeader, indexHeader, ageHeader, leaderHeader}, ", ") + ".",
	}
	definitions := doc["definitions"].(object)
	definitions["Problem"] = problemSchema
	for path, methods := range doc["paths"].(object) {
		for method, op := range methods.(object) {
			complement(path, method, op.(object))
		}
	}
	out, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return out
})

// complement adds to one operation.
func complement(path, method string, op object) {
	responses := op["responses"].(object)
	if op["operationId"] == "SubmitTask2" {
		op["operationId"] = "SubmitTaskShort"
	}
	ok := responses["200"].(object)
	responses["default"] = object{"description": "A refusal; see reason.", "schema": object{"$ref": "#/definitions/Problem"}}
	conflict := object{"description": "The outcome says why it was refused.", "schema": ok["schema"]}
	parameters, _ := op["parameters"].([]any)
	switch creates := method == "post" && (strings.HasSuffix(path, "/tasks") || path == "/v1/batches" || path == "/v1/schedules" || path == "/v1/tasks:batch"); {
	case creates:
		ok["description"] = "It existed: the same request was accepted before."
		responses["201"] = object{"description": "Accepted, on a majority's disks. Location says where it is.", "schema": ok["schema"]}
	case strings.HasSuffix(path, ":complete"), strings.HasSuffix(path, ":fail"), strings.HasSuffix(path, ":cancel"):
		responses["409"] = conflict
	}
	if method == "post" && (strings.HasSuffix(path, "/tasks") || path == "/v1/batches") {
		parameters = append(parameters, header("Idempotency-Key", "The same key and content again is the same task or batch; other content is 422."))
	}
	if method == "post" && strings.HasSuffix(path, "/tasks") || method == "get" && strings.HasSuffix(path, "/{id}") {
		parameters = append(parameters, header("Prefer", "wait=N waits up to N (at most 60) seconds for the end, and answers with the task or batch."))
	}
	if path == "/v1/events:watch" {
		parameters = append(parameters, header("Last-Event-ID", "The cursor to go on from, as a browser's EventSource sends it: it takes the place of since."))
	}
	parameters = append(parameters, object{
		"name": redirectParam, "in": "query", "type": "boolean", "required": false,
		"description": "answer 307 with the leader's address instead of sending the request on",
	})
	op["parameters"] = parameters
}

func header(name, description string) object {
	return object{"name": name, "in": "header", "type": "string", "required": false, "description": description}
}

var problemSchema = object{
	"type": "object", "description": "application/problem+json (RFC 9457)",
	"properties": object{
		"type": object{"type": "string"}, "title": object{"type": "string"}, "status": object{"type": "integer"},
		"detail": object{"type": "string"}, "reason": object{"type": "string", "description": "stable: see rpc/reason"},
		"metadata": object{"type": "object", "additionalProperties": object{"type": "string"}},
		"fields": object{"type": "array", "items": object{"type": "object", "properties": object{
			"field": object{"type": "string"}, "description": object{"type": "string"},
		}}},
	},
}
