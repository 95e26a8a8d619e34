package datadir

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"slices"
)

// identityFormat is raised when identity.json changes its meaning.
const identityFormat = 1

// maxIdentity bounds what is read: a list of a few masters is far smaller.
const maxIdentity = 64 << 10

// Peer is one master of the list that a cluster was formed with.
type Peer struct {
	Name        string `json:"name"`
	Incarnation string `json:"incarnation"`
	Raft        string `json:"raft"` // host:port
}

// ServerID is the master's id in Raft's configuration.
func (p Peer) ServerID() string { return p.Name + "/" + p.Incarnation }

// State is whose a data directory is. The incarnation is drawn once, on the
// first start in an empty directory: a wiped master comes back as another one,
// which must never vote in its predecessor's place.
type State struct {
	Name        string `json:"name"`
	Incarnation string `json:"incarnation"`
	ClusterID   string `json:"cluster_id"` // "" until a cluster is adopted
	Peers       []Peer `json:"peers,omitempty"`
	// Joined: a running cluster took this master in, with Peers as its members then.
	// It never bootstraps: what it has comes from the others.
	Joined bool `json:"joined,omitempty"`
}

// Formed reports whether the master belongs to a cluster.
func (s State) Formed() bool { return s.ClusterID != "" }

// ServerID is the master's own id in Raft's configuration.
func (s State) ServerID() string { return s.Name + "/" + s.Incarnation }

// Owner is the stamp that ties raft.db to this identity; "" until a cluster is adopted.
func (s State) Owner() string {
	if !s.Formed() {
		return ""
	}
	return s.ClusterID + "/" + s.ServerID()
}

func (s State) describe() string {
	if !s.Formed() {
		return s.ServerID() + ", no cluster yet"
	}
	return s.ServerID() + " of cluster " + s.ClusterID
}

func (s State) validate() error {
	switch {
	case s.Name == "":
		return errors.New("name is missing")
	case s.Incarnation == "":
		return errors.New("incarnation is missing")
	case !s.Formed() && (len(s.Peers) > 0 || s.Joined):
		return errors.New("peers without a cluster_id")
	case s.Formed() && !slices.ContainsFunc(s.Peers, func(p Peer) bool { return p.ServerID() == s.ServerID() }):
		return fmt.Errorf("peers do not contain %s", s.ServerID())
	}
	return nil
}

// NewID draws a random id of 16 hexadecimal digits, for clusters and incarnations.
func NewID() string {
	var b [8]byte
	rand.Read(b[:]) //nolint:errcheck // never fails: it ends the program instead
	return hex.EncodeToString(b[:])
}

// Identity returns whose the directory is.
func (d *Dir) Identity() State {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.id
	s.Peers = slices.Clone(s.Peers)
	return s
}

// Adopt makes the directory part of a cluster, durably, with the list of masters
// that it forms with. The list must contain this master. A directory that
// belongs to a cluster keeps it: adopting the same again changes nothing,
// adopting another is refused.
func (d *Dir) Adopt(clusterID string, peers []Peer) error {
	return d.adopt(State{ClusterID: clusterID, Peers: slices.Clone(peers)})
}

// Join is Adopt for a master that a running cluster has taken in.
func (d *Dir) Join(clusterID string, members []Peer) error {
	return d.adopt(State{ClusterID: clusterID, Peers: slices.Clone(members), Joined: true})
}

func (d *Dir) adopt(next State) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	clusterID := next.ClusterID
	next.Name, next.Incarnation = d.id.Name, d.id.Incarnation
	if d.id.Formed() {
		if d.id.ClusterID == clusterID && d.id.Joined == next.Joined && slices.Equal(d.id.Peers, next.Peers) {
			return nil
		}
		return identityError(d.path, "cluster ids differ: the data belongs to cluster %s, the masters want %s: empty the directory or point it at its own cluster",
			d.id.ClusterID, clusterID)
	}
	if clusterID == "" {
		return identityError(d.path, "adopt a cluster: it has no id")
	}
	if err := next.validate(); err != nil {
		return identityError(d.path, "adopt cluster %s: %w: remove this member and re-add it", clusterID, err)
	}
	if err := writeIdentity(d.file(identityName), next); err != nil {
		return err
	}
	d.id = next
	return nil
}

// document is identity.json: the state, its format, and a CRC32C over both.
type document struct {
	Format int `json:"format"`
	State
	Checksum string `json:"checksum"`
}

// encode returns the document with its checksum filled in.
func (doc document) encode() ([]byte, error) {
	doc.Checksum = ""
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, err
	}
	doc.Checksum = fmt.Sprintf("%08x", crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	b, err = json.MarshalIndent(doc, "", "  ")
	return append(b, '\n'), err
}

func writeIdentity(path string, s State) error {
	b, err := document{Format: identityFormat, State: s}.encode()
	if err == nil {
		err = replaceFile(path, b)
	}
	if err != nil {
		return diskError(path, "write identity: %w%s", err, remedy(err))
	}
	return nil
}

// readIdentity returns fs.ErrNotExist when there is no file, otherwise an *Error
// for anything that this program would not have written.
func readIdentity(path string) (State, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, err
	}
	if err != nil {
		return State{}, diskError(path, "open identity: %w%s", err, remedy(err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxIdentity+1))
	if err != nil {
		return State{}, diskError(path, "read identity: %w", err)
	}
	return decodeIdentity(path, b)
}

func decodeIdentity(path string, b []byte) (State, error) {
	const restore = "put the file back from a backup, or remove this member and re-add it with --rejoin"
	var version struct{ Format int }
	if err := json.Unmarshal(b, &version); err != nil || len(b) > maxIdentity {
		return State{}, diskError(path, "the identity is damaged: %d bytes that are not its JSON: %s", len(b), restore)
	}
	if version.Format > identityFormat {
		return State{}, identityError(path, "identity format %d > supported %d: upgrade this node", version.Format, identityFormat)
	}
	var doc document
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		return State{}, diskError(path, "the identity is damaged: %w: %s", err, restore)
	}
	want, err := doc.encode()
	if err != nil {
		return State{}, diskError(path, "the identity is damaged: %w: %s", err, restore)
	}
	if !bytes.Equal(b, want) {
		return State{}, diskError(path, "the identity is damaged or was edited (checksum %q): %s", doc.Checksum, restore)
	}
	if err := doc.validate(); err != nil {
		return State{}, diskError(path, "the identity is damaged: %w: %s", err, restore)
	}
	return doc.State, nil
}
