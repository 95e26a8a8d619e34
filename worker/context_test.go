package worker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestTaskContext(t *testing.T) {
	type key struct{}
	for name, check := range map[string]func(t *testing.T, c *taskContext){
		"ended before it was looked at": func(t *testing.T, c *taskContext) {
			c.end(ErrLost)
			c.end(ErrDraining)
			<-c.Done()
			if !errors.Is(c.Err(), context.Canceled) || context.Cause(c) != ErrLost || c.why() != ErrLost {
				t.Fatalf("%v, %v, %v", c.Err(), context.Cause(c), c.why())
			}
		},
		"ended while it is watched": func(t *testing.T, c *taskContext) {
			child, cancel := context.WithCancel(c)
			defer cancel()
			if c.Err() != nil || c.why() != nil || c.Value(key{}) != "v" {
				t.Fatal("not alive")
			}
			c.end(ErrCancelled)
			<-child.Done()
			if context.Cause(child) != ErrCancelled {
				t.Fatal(context.Cause(child))
			}
		},
		"out of time": func(t *testing.T, c *taskContext) {
			<-c.Done()
			if !errors.Is(c.Err(), context.DeadlineExceeded) || context.Cause(c) != ErrTimedOut || time.Now().Before(c.deadline) {
				t.Fatalf("%v, %v", c.Err(), context.Cause(c))
			}
		},
		"its handler has returned": func(t *testing.T, c *taskContext) {
			c.end(nil)
			if c.Err() == nil {
				t.Fatal("alive after its end")
			}
		},
		"no limit": func(t *testing.T, c *taskContext) {
			c.deadline = time.Time{}
			if _, ok := c.Deadline(); ok || c.Err() != nil {
				t.Fatal("limited")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &taskContext{base: context.WithValue(t.Context(), key{}, "v"), deadline: time.Now().Add(time.Minute)}
				check(t, c)
				c.end(nil)
			})
		})
	}
}
