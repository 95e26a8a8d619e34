package faultdisk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mount returns a disk and the directory that it is seen at.
func mount(t *testing.T) (*Disk, string) {
	t.Helper()
	backing, point := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	must(t, os.Mkdir(backing, 0o700))
	d, err := Mount(backing, point)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		t.Skipf("nothing can be mounted here: %v", err)
	}
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	return d, point
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func syncPath(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	must(t, errors.Join(f.Sync(), f.Close()))
}

func cut(t *testing.T, d *Disk) int {
	t.Helper()
	lost, err := d.PowerCut(false)
	must(t, err)
	return lost
}

// content reads all files of a directory: name=content, in order.
func content(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		text := "/"
		if !e.IsDir() {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			must(t, err)
			text = "=" + string(b)
		}
		all = append(all, e.Name()+text)
	}
	return strings.Join(all, " ")
}

func TestPowerCutTakesBackWhatWasNotSynced(t *testing.T) {
	write := func(t *testing.T, path, text string, at int64) {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		must(t, err)
		_, err = f.WriteAt([]byte(text), at)
		must(t, errors.Join(err, f.Close()))
	}
	for name, c := range map[string]struct {
		do   func(t *testing.T, dir string)
		want string
	}{
		"nothing":              {func(*testing.T, string) {}, "a=one b=two"},
		"overwritten":          {func(t *testing.T, d string) { write(t, d+"/a", "X", 1); write(t, d+"/a", "YY", 0) }, "a=one b=two"},
		"appended":             {func(t *testing.T, d string) { write(t, d+"/a", "more", 3) }, "a=one b=two"},
		"cut off":              {func(t *testing.T, d string) { must(t, os.Truncate(d+"/a", 1)); write(t, d+"/a", "Z", 1) }, "a=one b=two"},
		"emptied":              {func(t *testing.T, d string) { must(t, os.WriteFile(d+"/a", []byte("new text"), 0o600)) }, "a=one b=two"},
		"created":              {func(t *testing.T, d string) { write(t, d+"/c", "new", 0) }, "a=one b=two"},
		"created, file synced": {func(t *testing.T, d string) { write(t, d+"/c", "new", 0); syncPath(t, d+"/c") }, "a=one b=two"},
		"created, name synced": {func(t *testing.T, d string) { write(t, d+"/c", "new", 0); syncPath(t, d) }, "a=one b=two c="},
		"created and synced": {func(t *testing.T, d string) {
			write(t, d+"/c", "new", 0)
			syncPath(t, d+"/c")
			syncPath(t, d)
		}, "a=one b=two c=new"},
		"synced, then more": {func(t *testing.T, d string) {
			write(t, d+"/a", "1", 0)
			syncPath(t, d+"/a")
			write(t, d+"/a", "2", 1)
		}, "a=1ne b=two"},
		"removed":         {func(t *testing.T, d string) { must(t, os.Remove(d+"/a")) }, "a=one b=two"},
		"removed, synced": {func(t *testing.T, d string) { must(t, os.Remove(d+"/a")); syncPath(t, d) }, "b=two"},
		"replaced":        {func(t *testing.T, d string) { must(t, os.Rename(d+"/a", d+"/b")) }, "a=one b=two"},
		"replaced, synced": {func(t *testing.T, d string) {
			must(t, os.Rename(d+"/a", d+"/b"))
			syncPath(t, d)
		}, "b=one"},
		"a directory that appears at once": {func(t *testing.T, d string) {
			must(t, os.Mkdir(d+"/new", 0o700))
			write(t, d+"/new/x", "in it", 0)
			must(t, os.Rename(d+"/new", d+"/there"))
		}, "a=one b=two"},
		"a directory, synced": {func(t *testing.T, d string) {
			must(t, os.Mkdir(d+"/new", 0o700))
			must(t, os.Rename(d+"/new", d+"/there"))
			syncPath(t, d)
		}, "a=one b=two there/"},
	} {
		t.Run(name, func(t *testing.T) {
			d, dir := mount(t)
			write(t, dir+"/a", "one", 0)
			write(t, dir+"/b", "two", 0)
			for _, path := range []string{dir + "/a", dir + "/b", dir} {
				syncPath(t, path)
			}
			if lost := cut(t, d); lost != 0 {
				t.Errorf("%d changes were lost though all was synced", lost)
			}
			c.do(t, dir)
			cut(t, d)
			if got := content(t, dir); got != c.want {
				t.Errorf("after the power cut: %q, want %q", got, c.want)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	d, dir := mount(t)
	f, err := os.Create(dir + "/f")
	must(t, err)
	defer f.Close()
	_, err = f.WriteString("sound")
	must(t, errors.Join(err, f.Sync()))

	d.Set(Faults{Full: true})
	if _, err := os.Create(dir + "/g"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("create on a full disk: %v", err)
	}
	if _, err := f.WriteAt([]byte("more"), 5); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("append on a full disk: %v", err)
	}
	if _, err := f.WriteAt([]byte("in place"[:5]), 0); err != nil {
		t.Errorf("overwrite on a full disk: %v", err)
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil || st.Bavail != 0 {
		t.Errorf("a full disk has %d blocks: %v", st.Bavail, err)
	}
	if d.Hits() != 2 {
		t.Errorf("%d operations met the fault, want 2", d.Hits())
	}

	d.Set(Faults{SyncErr: syscall.EIO})
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("sync: %v", err)
	}
	d.Set(Faults{WriteErr: syscall.EIO})
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("write: %v", err)
	}

	d.Set(Faults{Hang: true})
	synced := make(chan error)
	go func() { synced <- f.Sync() }()
	for d.Hits() == 0 {
		select {
		case err := <-synced:
			t.Fatalf("a sync returned from a disk that hangs: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	d.Set(Faults{})
	must(t, <-synced)
}

func TestTornPowerCutKeepsAPart(t *testing.T) {
	d, dir := mount(t)
	f, err := os.Create(dir + "/f")
	must(t, err)
	defer f.Close()
	_, err = f.Write(make([]byte, 100))
	must(t, errors.Join(err, f.Sync()))
	syncPath(t, dir)
	for i := range 100 {
		_, err := f.WriteAt([]byte{1}, int64(i))
		must(t, err)
	}
	lost, err := d.PowerCut(true)
	must(t, err)
	after, err := os.ReadFile(dir + "/f")
	must(t, err)
	kept := strings.Count(string(after), "\x01")
	if kept+lost != 100 || kept == 0 || lost == 0 {
		t.Errorf("%d writes kept, %d lost, of 100", kept, lost)
	}
}
