// Package problem writes refusals as application/problem+json (RFC 9457), with the
// reasons and the fields of the gRPC API.
package problem
