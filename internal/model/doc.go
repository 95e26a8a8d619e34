// Package model is the task table told a second time, so that what package fsm
// decides can be compared with something that was not made from it.
//
// It was written from the promises in words (ARCHITECTURE.md, docs/, the list of
// invariants), in plain maps that are searched from end to end, and shares
// nothing with the state machine but the messages of the log. Where fsm keeps an
// index, the model looks at every task; where fsm copies on write, the model
// writes. It is slow and short, and meant to be read beside the promises.
//
// A Table takes the bytes of log entries and says, for every command, what must
// be answered and what every touched task must look like afterwards. What it has
// no words for (ErrUnmodelled) it refuses to judge: who feeds it decides whether
// that is an error. An entry that breaks a promise, whatever the table makes of it, as
// a leader that passes over a fire time does, is a *Breach.
package model
