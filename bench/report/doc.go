// Package report turns the results of many runs into medians, factors, a table,
// a JSON file and a chart.
//
//	summary.go   medians of each cell, system and way
//	table.go     for the terminal
//	file.go      peers.json
//	chart.go     peers.svg
package report
