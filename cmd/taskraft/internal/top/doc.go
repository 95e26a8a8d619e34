// Package top is the full-screen view of a cluster for terminals.
//
//	Reader ──► Look (what one refresh saw) ──► history (rates, sparklines, news)
//	                                              │
//	            keys, size ──► Model ◄────────────┘ ──► view: header, page, footer
//
// A Look holds plain values, and all drawing is a function of the Model, so tests draw
// a fixed one and compare. Reads are stale ones that any master answers; a refresh
// that takes long makes the next one wait longer, so that looking never becomes load.
package top
