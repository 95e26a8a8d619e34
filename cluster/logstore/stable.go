package logstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// Raft's names of its stable values (raft.go).
var (
	keyCurrentTerm = []byte("CurrentTerm")
	keyVoteTerm    = []byte("LastVoteTerm")
	keyVoteCand    = []byte("LastVoteCand")
)

// Names of ours.
var (
	// keyVote holds a vote: its term (8 bytes, big-endian), then its candidate.
	//
	// Raft stores them by two calls, SetUint64(LastVoteTerm) and Set(LastVoteCand).
	// A crash in between would leave the new term beside the old candidate, who would
	// then be granted the new term's vote without a check of its log
	// (hashicorp/raft#661). raft-boltdb commits each call on its own and does not
	// share its transactions, so the term is held back and both are written as one
	// value by the second call: one key, one transaction.
	keyVote = []byte("LastVote")
	// keyOwner holds Config.Owner.
	keyOwner = []byte("taskraft/owner")
)

// Set stores a value durably.
func (s *Store) Set(key, value []byte) error {
	if !bytes.Equal(key, keyVoteCand) {
		return s.put(key, value)
	}
	s.voteMu.Lock()
	defer s.voteMu.Unlock()
	if s.held == nil {
		return s.guard.fail(errors.New("store vote: a candidate without a term"))
	}
	vote := append(binary.BigEndian.AppendUint64(nil, *s.held), value...)
	if err := s.put(keyVote, vote); err != nil {
		return err
	}
	s.held = nil
	return nil
}

// SetUint64 stores a number durably; the vote's term with its candidate (see keyVote).
func (s *Store) SetUint64(key []byte, value uint64) error {
	if !bytes.Equal(key, keyVoteTerm) {
		err := s.put(key, binary.BigEndian.AppendUint64(nil, value))
		if errors.Is(err, ErrClosed) {
			s.cfg.Left()
		}
		return err
	}
	if err := s.guard.pass(); err != nil {
		return err
	}
	s.voteMu.Lock()
	defer s.voteMu.Unlock()
	s.held = &value
	return nil
}

func (s *Store) put(key, value []byte) error {
	return s.write("store "+string(key), func() error { return s.db.Set(key, sealValue(key, value)) })
}

// Get returns a value, nil when there is none. A vote's parts change together,
// when both are durable.
func (s *Store) Get(key []byte) ([]byte, error) {
	if !bytes.Equal(key, keyVoteCand) {
		return s.get(key)
	}
	vote, err := s.get(keyVote)
	if err != nil || vote == nil {
		return nil, err
	}
	return vote[8:], nil
}

// GetUint64 returns a number, 0 when there is none.
func (s *Store) GetUint64(key []byte) (uint64, error) {
	if bytes.Equal(key, keyVoteTerm) {
		key = keyVote
	}
	value, err := s.get(key)
	if err != nil || value == nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(value), nil
}

// get reads a value and checks its CRC and shape.
func (s *Store) get(key []byte) (value []byte, err error) {
	err = s.guard.read(func() error {
		sealed, err := s.db.Get(key)
		if errors.Is(err, raftboltdb.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		value, err = openStable(key, sealed)
		return err
	})
	if err != nil && !errors.Is(err, ErrClosed) {
		return nil, s.guard.fail(fmt.Errorf("read %s: %w", key, err))
	}
	return value, err
}

// openStable returns a stable value without its CRC. A term, the term in front of
// a vote, and the floor take 8 bytes.
func openStable(key, sealed []byte) ([]byte, error) {
	value, err := openValue(key, sealed)
	if err != nil {
		return nil, err
	}
	if (bytes.Equal(key, keyVote) || bytes.Equal(key, keyCurrentTerm) || bytes.Equal(key, keyFloor)) && len(value) < 8 {
		return nil, fmt.Errorf("stable value %q has %d bytes, want ≥ 8", key, len(value))
	}
	return value, nil
}
