// Package followtest has fake masters for the tests of the SDKs: real gRPC over
// loopback, but who leads, who is dead and who is frozen is the test's word, and
// so is every answer.
package followtest
