// Package api is the JSON API of a master: taskraft.v1 by the routes of
// web/routes.yaml, through the generated package gateway.
//
// A request goes through these hands:
//
//	request.go   reads the body, within limits of size and time
//	handler.go   tries it here; a master that does not lead
//	leader.go    sends it on to the one that does, or waits until one does
//	gateway      makes a message of it and calls the method
//	calls.go     adds what the request's headers say (Idempotency-Key)
//	answer.go    adds status and headers: 201 and Location, the position in the log
//	problem      tells refusals, with the reasons of the gRPC API
//
// openapi.go serves the document that describes all of it.
package api
