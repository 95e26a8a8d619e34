package datadir

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAdopt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	d := mustOpen(t, path, forming("n1"))
	want := d.Identity()
	want.ClusterID, want.Peers = "c1", peersWith(want)
	for range 2 { // the second time changes nothing
		if err := d.Adopt(want.ClusterID, want.Peers); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, d.Identity()); diff != "" {
			t.Error(diff)
		}
	}
	if got := d.Identity().Owner(); got != "c1/n1/"+want.Incarnation {
		t.Errorf("owner = %q", got)
	}
	write(t, d.LogPath(), "log")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, path, Options{Name: "n1", space: plenty})
	if diff := cmp.Diff(want, again.Identity()); diff != "" {
		t.Error(diff)
	}
}

func TestAdoptRefused(t *testing.T) {
	d := mustOpen(t, filepath.Join(t.TempDir(), "data"), forming("n1"))
	self := peersWith(d.Identity())
	replaced := []Peer{{Name: "n1", Incarnation: "another", Raft: "127.0.0.1:7401"}}
	wantError(t, d.Adopt("", self), Identity, "no id")
	wantError(t, d.Adopt("c1", replaced), Identity, "do not contain n1/", "remove this member")
	if d.Identity().Formed() {
		t.Fatal("a refused cluster was adopted")
	}
	if err := d.Adopt("c1", self); err != nil {
		t.Fatal(err)
	}
	t.Run("B11", func(t *testing.T) {
		wantError(t, d.Adopt("c2", self), Identity, "cluster ids differ", "c1", "c2")
	})
	wantError(t, d.Adopt("c1", self[:1]), Identity, "c1")
}

// TestIdentityDamage flips every bit of an identity, and cuts it everywhere.
func TestIdentityDamage(t *testing.T) {
	path := formed(t)
	file := filepath.Join(path, identityName)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeIdentity(file, good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		if _, err := decodeIdentity(file, good[:i]); err == nil {
			t.Errorf("accepted when cut to %d of %d bytes", i, len(good))
		}
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if _, err := decodeIdentity(file, bad); err == nil {
				t.Errorf("accepted with bit %d of byte %d flipped: %s", bit, i, bad)
			}
		}
	}
}

func TestIdentityStrict(t *testing.T) {
	path := formed(t)
	file := filepath.Join(path, identityName)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, content string
		kind          Kind
		part          string
	}{
		{"empty", "", Disk, "0 bytes"},
		{"not JSON", "n1", Disk, "damaged"},
		{"edited", strings.Replace(string(good), `"c1"`, `"c2"`, 1), Disk, "was edited"},
		{"unknown field", strings.Replace(string(good), `"name"`, `"nam"`, 1), Disk, "unknown field"},
		{"trailing data", string(good) + "{}", Disk, "damaged"},
		{"newer", `{"format": 2, "something": "new"}`, Identity, "identity format 2 > supported 1: upgrade this node"},
		{"huge", strings.Repeat(" ", maxIdentity) + string(good), Disk, "damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			write(t, file, tt.content)
			_, err := Open(path, forming("n1"))
			wantError(t, err, tt.kind, identityName, tt.part)
		})
	}
}

// TestReplaceInterrupted starts over what a crash while writing left.
func TestReplaceInterrupted(t *testing.T) {
	path := formed(t)
	write(t, filepath.Join(path, identityName+".tmp"), "half an ident")
	d := mustOpen(t, path, forming("n1"))
	if !d.Identity().Formed() {
		t.Error("the identity is lost")
	}

	fresh := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(fresh, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(fresh, identityName+".tmp"), "half an ident")
	mustOpen(t, fresh, forming("n2"))
}
