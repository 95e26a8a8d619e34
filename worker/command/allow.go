package command

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// allowed is the set of programs that may run: by the name a task may use, the
// absolute path.
type allowed struct {
	all      bool
	programs map[string]string
}

// resolveAll finds every program now, so that a worker that cannot do its work
// does not start.
func resolveAll(names []string) (allowed, error) {
	a := allowed{programs: map[string]string{}}
	if len(names) == 0 {
		return a, errors.New("no program is allowed: name some, or * for all")
	}
	var errs []error
	for _, name := range names {
		if name == "*" {
			a.all = true
			continue
		}
		path, err := resolve(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		a.programs[name], a.programs[path] = path, path
	}
	return a, errors.Join(errs...)
}

// path returns the absolute path of the program that a task names.
func (a allowed) path(name string) (string, error) {
	if path, ok := a.programs[name]; ok {
		return path, nil
	}
	if a.all {
		return resolve(name)
	}
	return "", fmt.Errorf("program %.64q is not allowed at this worker", name)
}

// resolve returns the absolute path of a program and refuses what must not run.
func resolve(name string) (string, error) {
	path := name
	switch {
	case name == "":
		return "", errors.New("program name is empty")
	case strings.ContainsRune(name, 0):
		return "", fmt.Errorf("program %.64q: holds a NUL byte", name)
	case !filepath.IsAbs(name) && strings.ContainsRune(name, '/'):
		return "", fmt.Errorf("program %.64q: want a name or an absolute path, not a relative one", name)
	case !filepath.IsAbs(name):
		found, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("program %.64q: %w", name, errors.Unwrap(err))
		}
		if path = found; !filepath.IsAbs(path) {
			return "", fmt.Errorf("program %.64q: found at %s, which is a relative path", name, path)
		}
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("program %.64q: %w", name, errors.Unwrap(err))
	case info.IsDir():
		return "", fmt.Errorf("program %.64q: %s is a directory", name, path)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("program %.64q: %s is not a regular file", name, path)
	case info.Mode()&0o111 == 0:
		return "", fmt.Errorf("program %.64q: %s is not executable", name, path)
	case info.Mode()&0o002 != 0:
		return "", fmt.Errorf("program %.64q: %s is writable by everybody", name, path)
	}
	return path, nil
}
