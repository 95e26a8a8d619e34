// Command check judges a recorded history once more.
//
//	go run ./internal/checker/check DIR...
package main

import (
	"fmt"
	"os"

	"github.com/taskraft/taskraft/internal/checker"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "check: name at least one directory of a run")
		os.Exit(2)
	}
	status := 0
	for _, dir := range os.Args[1:] {
		h, err := checker.Load(dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, "check:", err)
			os.Exit(2)
		}
		r := checker.Check(h, checker.Floor{"entry": 1, "acknowledged": 1})
		fmt.Printf("%s\n", dir)
		r.Print(os.Stdout)
		if len(r.Findings) > 0 {
			status = 1
		}
	}
	os.Exit(status)
}
