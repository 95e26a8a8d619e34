// Package web is the HTTP side of a master, on a port of its own. It has rooms:
//
//	web/api      the JSON API: taskraft.v1 through generated routes (routes.yaml)
//	web/gateway  those routes, generated
//	web/health   /livez and /readyz
//	web/metrics  /metrics
//	web/dashboard  the page that people open
//
// What all of them share is decided here: which hosts and origins may ask, how many
// connections may wait, how slow a request may be, and that a panic ends a request
// and not the master.
package web
