// Package task gives tasks Go types: a Definition is shared by those who submit
// tasks of its kind and those who execute them.
//
//	var Resize = task.Define[Size, Image]("resize")
//
//	image, err := Resize.Run(ctx, c, Size{Width: 800})                       // a submitter
//	cfg.Handlers = task.Handlers(task.Handle(Resize, resize))                // a worker
//	func resize(ctx context.Context, s Size) (Image, error) { … }
//
// Values travel as JSON unless the Definition is given another Codec. A payload
// that does not fit the handler's type makes its task DEAD: trying again cannot
// help. What a handler's error means is told in package worker (Permanent,
// RetryAfter, Snooze); worker.TaskOf(ctx) is the task with its fence.
//
//	define.go   a kind with its types and options
//	codec.go    from values to bytes and back
//	submit.go   the submitter's side
//	many.go     the same for many tasks at a time
//	handle.go   the worker's side
package task
