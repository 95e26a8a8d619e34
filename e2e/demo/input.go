package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// script prints the SHA-256 of a file and of the file gzipped. The file's name
// is an argument of its own, never part of the program's text.
const script = `sha256sum < "$1"; gzip -nc "$1" | sha256sum`

// files returns the repository's own files, relative to tree, sorted: what git
// tracks, or all that is there when this is not a git checkout.
func files(ctx context.Context, tree string) ([]string, error) {
	var names []string
	cmd := exec.CommandContext(ctx, "git", "ls-files", "-z")
	cmd.Dir = tree
	if out, err := cmd.Output(); err == nil {
		names = strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 })
	} else if names, err = walk(tree); err != nil {
		return nil, fmt.Errorf("list the repository's files: %w", err)
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		info, err := os.Lstat(filepath.Join(tree, name))
		return err != nil || !info.Mode().IsRegular()
	})
	if len(names) == 0 {
		return nil, errors.New("list the repository's files: there are none")
	}
	slices.Sort(names)
	return names, nil
}

func walk(tree string) (names []string, err error) {
	err = fs.WalkDir(os.DirFS(tree), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", ".data", ".tools", "bin"}, d.Name()) {
			return fs.SkipDir
		}
		if d.Type().IsRegular() {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

// choose returns n names for n tasks: as many rounds over all files as that
// takes, or an even selection when there are more files than tasks.
func choose(names []string, n int) []string {
	chosen := make([]string, n)
	for i := range chosen {
		if len(names) > n {
			chosen[i] = names[i*len(names)/n]
		} else {
			chosen[i] = names[i%len(names)]
		}
	}
	return chosen
}

// payload is the command task that runs the script on one file.
func payload(dir, name string) ([]byte, error) {
	return json.Marshal(struct {
		Argv []string `json:"argv"`
		Dir  string   `json:"dir"`
	}{[]string{"sh", "-c", script, "sh", name}, dir})
}

// expect computes here what the task on a file must print.
func expect(ctx context.Context, dir, name string) (string, error) {
	plain, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return "", fmt.Errorf("compute the expected result: %w", err)
	}
	cmd := exec.CommandContext(ctx, "gzip", "-nc", name)
	cmd.Dir = dir
	zipped, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("compute the expected result: gzip %s: %w", name, err)
	}
	return fmt.Sprintf("%x  -\n%x  -\n", sha256.Sum256(plain), sha256.Sum256(zipped)), nil
}

// matches reports whether a command task's result is success with this output.
func matches(result []byte, want string) bool {
	var r struct {
		ExitCode int    `json:"exit_code"`
		Stdout   string `json:"stdout"`
	}
	dec := json.NewDecoder(bytes.NewReader(result))
	return dec.Decode(&r) == nil && r.ExitCode == 0 && r.Stdout == want
}
