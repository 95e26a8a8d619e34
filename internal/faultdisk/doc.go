// Package faultdisk is a directory on a disk that goes wrong when told to: it loses
// at a power cut what was written and not synced, it fails, hangs, fills up or
// becomes slow, under real processes that do not know.
//
// It is a FUSE file system that passes everything on to another directory. What it
// changes there it can take back: for each change it remembers what was before until
// the file, or the directory of a name, is synced. A power cut takes back, newest
// first, what is still remembered. So it loses more than most disks would: a name
// without a sync of its directory is gone, also when the file was synced.
//
// It needs /dev/fuse and the right to mount, which a process in a mount namespace of
// its own has.
package faultdisk
