package fsm

import "math/bits"

// backoff returns the wait before attempt k+1 of a task after its k-th failure
// (k ≥ 1): base·2^(k−1), at most limit, then ±20 %. The jitter is the same on
// every master because it comes from the task and k alone:
//
//	d = min(base·2^(k−1), limit)
//	s = d / 5
//	wait = d − s + splitmix64(splitmix64(task) + k) mod (2·s + 1)
func backoff(task uint64, k uint32, base, limit int64) int64 {
	d := uint64(max(base, 0))
	lim := uint64(max(limit, 0))
	if k > 1 && d > 0 {
		if shift := k - 1; int(shift) >= bits.LeadingZeros64(d) {
			d = lim
		} else {
			d <<= shift
		}
	}
	d = min(d, lim)
	s := d / 5
	return addTime(int64(d-s), int64(splitmix64(splitmix64(task)+uint64(k))%(2*s+1)))
}

// splitmix64 is Steele, Lea and Flood's mixer (the output function of
// SplittableRandom with its increment).
func splitmix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// addTime adds a duration to a time; both are ≥ 0 and the sum stays within int64.
func addTime(at, d int64) int64 {
	const last = 1<<63 - 1
	if d > last-at {
		return last
	}
	return at + d
}
