// Package inproc is a gRPC connection whose server is in the same process: a call
// is a function call, with the copies and the interceptors of a real one but
// without encoding, goroutines for the transport, or a socket.
//
// Register services at a Conn as at a grpc.Server, and give it to the generated
// clients. The server's handlers see the client's context, so that a deadline, a
// cancellation and a peer (peer.NewContext) reach them. Headers, trailers and call
// options have no effect.
package inproc
