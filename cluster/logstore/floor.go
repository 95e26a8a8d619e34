package logstore

import "encoding/binary"

// keyFloor holds the index up to which this master once had everything in a
// snapshot. Raft deletes the whole log once it has installed a snapshot, which is
// then the only copy: a master that has lost it would begin anew, and vote as one
// that has seen nothing.
var keyFloor = []byte("taskraft/floor")

// RaiseFloor remembers durably that a snapshot up to index is complete. Call it
// before the log that the snapshot replaces is deleted.
func (s *Store) RaiseFloor(index uint64) error {
	s.floorMu.Lock()
	defer s.floorMu.Unlock()
	floor, err := s.GetUint64(keyFloor)
	if err != nil || index <= floor {
		return err
	}
	return s.put(keyFloor, binary.BigEndian.AppendUint64(nil, index))
}

// CheckFloor returns an error when log and snapshots end before what this master
// once had; newest is the index of the newest snapshot, 0 when there is none. Only a
// master that has joined begins with nothing: fresh, until it raises its floor with
// its first entry. Call it after Bootstrap and before DropSuperseded.
func (s *Store) CheckFloor(newest uint64, fresh bool) error {
	const remedy = "put the snapshots back, or remove this member and re-add it with --rejoin"
	floor, err := s.GetUint64(keyFloor)
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	switch {
	case err != nil:
		return err
	case max(last, newest) < floor:
		return diskError(s.cfg.Path, "the log ends at entry %d and the newest snapshot at %d, but this master had a snapshot up to %d: data lost; %s",
			last, newest, floor, remedy)
	case last == 0 && newest == 0 && !fresh:
		return diskError(s.cfg.Path, "the log is empty and there is no snapshot, but this master has taken part in its cluster: data lost; %s", remedy)
	default:
		return nil
	}
}
