// Package tasktest runs a real master inside a test, so that a program's handlers
// and submits are tested against what they meet in production: the same log on
// disk, state machine and API, on loopback.
//
//	func TestResize(t *testing.T) {
//		m := tasktest.Start(t)
//		m.Work(worker.Config{Handlers: task.Handlers(task.Handle(Resize, resize))})
//		image, err := Resize.Run(t.Context(), m.Client(), Size{Width: 800})
//		…
//	}
//
// A master starts within some tens of milliseconds; Restart shows how the program
// bears a master's death. It links Raft and the masters' code: import it in tests
// only.
//
//	master.go   a master from start to end
//	work.go     workers of it
package tasktest
