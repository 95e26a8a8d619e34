package rpc_test

import "testing"

// TestPollGivesAgainWhatTheWorkerDoesNotList: an answer that got lost, or that a late
// request got, is given again by the next poll; what the worker lists is not.
func TestPollGivesAgainWhatTheWorkerDoesNotList(t *testing.T) {
	m := startMaster(t)
	for range 2 {
		submit(t, m, &spec{})
	}
	lost := pull(t, m, "w1", 1, "default")
	again := pull(t, m, "w1", 2, "default")
	if again.GetTask() != lost.GetTask() || again.GetFence() != lost.GetFence() || again.GetAttempt() != 1 {
		t.Fatalf("the next poll got %v, want %v", again, lost)
	}
	if other := pull(t, m, "w1", 3, "default", lost.GetFence()); other.GetTask() == lost.GetTask() {
		t.Errorf("what the worker lists was given again: %v", other)
	}
}
