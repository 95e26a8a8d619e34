// Command demo is what `make demo` runs: three masters and three workers as
// separate processes, 300 real tasks on the files of this repository, one kill
// -9 of the leader in the middle, and a check of every result.
//
// It trusts nobody's word for the verdict: the task ids are those that its own
// submits were acknowledged with, the completions are those in the workers' own
// journals, the expected results are computed here.
package main
