// Package tidy holds no code, only tests that keep the module as CONTRIBUTING.md
// describes it: who may import whom, a pure state machine, documented names,
// pinned dependencies, tests that wait for events instead of sleeping. Each
// finding says what the rule is for, so that nobody has to look it up.
package tidy
