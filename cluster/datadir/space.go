package datadir

import "golang.org/x/sys/unix"

// The limits of free space, in bytes.
const (
	// StartMinimum: under it a master does not start.
	StartMinimum = 256 << 20
	// Watermark: under it, or under 5 % of the file system, new submits are refused.
	Watermark = 512 << 20

	watermarkPercent = 5
	// inodeWatermark: under it no file can be counted on (snapshots make four).
	inodeWatermark = 64
)

// Space is how full a file system is, as an unprivileged user sees it.
type Space struct {
	Free, Total uint64 // bytes
	FreeInodes  uint64
	TotalInodes uint64 // 0: the file system does not count them
}

// Low reports whether new work should be refused (DISK_LOW).
func (s Space) Low() bool {
	return s.Free < Watermark || s.Free < s.Total/100*watermarkPercent ||
		s.TotalInodes > 0 && s.FreeInodes < inodeWatermark
}

// Space measures the directory's file system now.
func (d *Dir) Space() (Space, error) {
	s, err := d.space(d.path)
	if err != nil {
		return Space{}, diskError(d.path, "measure free space: %w", err)
	}
	return s, nil
}

// Measure measures the file system that path is on.
func Measure(path string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return Space{}, err
	}
	block := uint64(st.Bsize)
	return Space{
		Free:        uint64(st.Bavail) * block,
		Total:       st.Blocks * block,
		FreeInodes:  uint64(st.Ffree),
		TotalInodes: uint64(st.Files),
	}, nil
}
