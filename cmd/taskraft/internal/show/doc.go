// Package show prints data on stdout in the form that -o asks for: table and
// wide for people, json, jsonl, yaml and name for programs. Keys of the
// structured forms are those of the API, in snake_case.
//
//	printer.go   formats, single objects
//	list.go      lists, streamed where the form allows it
//	table.go     columns, widths, colour
package show
