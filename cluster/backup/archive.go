package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/taskraft/taskraft/fsm"
)

// Info says what a backup holds.
type Info struct {
	ClusterID string    `json:"cluster_id"`
	Master    string    `json:"master"`  // who wrote it
	Version   string    `json:"version"` // of its program
	Level     uint32    `json:"level"`   // feature level of the table
	Index     uint64    `json:"index"`   // the last entry in it
	Term      uint64    `json:"term"`
	TakenAt   time.Time `json:"taken_at"`
}

const (
	magic      = "taskback"
	version    = 1
	maxHead    = 64 << 10
	headerSize = len(magic) + 2 + 4
	// maxWindow bounds what the decoder may be made to allocate.
	maxWindow = 64 << 20
)

var (
	// ErrNotBackup: the file is something else.
	ErrNotBackup = errors.New("not a backup of a taskraft cluster")
	// ErrDamaged: the file was cut off or changed.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrNewer: a newer version of the program wrote it.
	ErrNewer = errors.New("the backup was written by a newer version: upgrade this program")
)

// Write writes a backup of a frozen table.
func Write(w io.Writer, info Info, table *fsm.Snapshot) error {
	head, err := json.Marshal(info)
	if err != nil {
		return err
	}
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 256<<10)
	b := binary.BigEndian.AppendUint16([]byte(magic), version)
	b = binary.BigEndian.AppendUint32(b, uint32(len(head)))
	if _, err := out.Write(append(b, head...)); err != nil {
		return err
	}
	z, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	plain := bufio.NewWriterSize(z, 256<<10)
	if _, err := table.WriteTo(plain); err != nil {
		return errors.Join(err, z.Close())
	}
	if err := errors.Join(plain.Flush(), z.Close(), out.Flush()); err != nil {
		return err
	}
	_, err = w.Write(sum.Sum(nil))
	return err
}

// File is a backup to read from: os.File is one.
type File interface {
	io.ReaderAt
	io.Reader
	io.Seeker
}

// Archive is a backup whose checksum is right.
type Archive struct {
	Info Info
	Size int64
	body *io.SectionReader // the compressed table
}

// Open checks a whole file and reads its head. Errors: ErrNotBackup, ErrDamaged,
// ErrNewer, and the file's.
func Open(f File) (*Archive, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	header := make([]byte, headerSize)
	if _, err := f.ReadAt(header, 0); err != nil || !bytes.HasPrefix(header, []byte(magic)) {
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return nil, ErrNotBackup
	}
	if v := binary.BigEndian.Uint16(header[len(magic):]); v != version {
		return nil, fmt.Errorf("%w (format %d, this one reads %d)", ErrNewer, v, version)
	}
	end := size - sha256.Size
	n := int64(binary.BigEndian.Uint32(header[len(magic)+2:]))
	if n > maxHead || int64(headerSize)+n > end {
		return nil, fmt.Errorf("%w: it ends early", ErrDamaged)
	}
	if err := checkSum(f, end); err != nil {
		return nil, err
	}
	a := &Archive{Size: size, body: io.NewSectionReader(f, int64(headerSize)+n, end-int64(headerSize)-n)}
	head := make([]byte, n)
	if _, err := f.ReadAt(head, int64(headerSize)); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(head, &a.Info); err != nil {
		return nil, fmt.Errorf("%w: its head: %w", ErrDamaged, err)
	}
	return a, nil
}

// checkSum compares the trailer with the bytes before end.
func checkSum(f File, end int64) error {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, end)); err != nil {
		return err
	}
	want := make([]byte, sha256.Size)
	if _, err := f.ReadAt(want, end); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !bytes.Equal(h.Sum(nil), want) {
		return fmt.Errorf("%w: checksum %x, its bytes have %x", ErrDamaged, want[:8], h.Sum(nil)[:8])
	}
	return nil
}

// Table builds the table, which checks all of it again: every block and count.
func (a *Archive) Table() (*fsm.Machine, error) {
	if _, err := a.body.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	z, err := zstd.NewReader(a.body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	m, err := fsm.Restore(bufio.NewReaderSize(z, 256<<10))
	switch {
	case errors.Is(err, fsm.ErrNewer):
		return nil, fmt.Errorf("%w: %w", ErrNewer, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return m, nil
}
