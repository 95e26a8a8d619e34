package fsm

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Label is a name and a value that a session may have.
type Label struct{ Key, Value string }

func (a Label) compare(b Label) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Value, b.Value))
}

// adopt completes x and lets it share strings with the tasks that wait already.
func (l *line) adopt(x *Extra) *Extra {
	x.pool = poolName(x.Require)
	if p := l.pools[x.pool]; p != nil {
		x.pool, x.Require = p.name, p.require
	}
	if k, ok := l.keys.Get(x.ConcurrencyKey); ok {
		x.ConcurrencyKey = k.name
	}
	return x
}

// labelsOf puts labels into their one form: sorted, each once.
func labelsOf(in []*fsmpb.Label) []Label {
	if len(in) == 0 {
		return nil
	}
	out := make([]Label, len(in))
	for i, label := range in {
		out[i] = Label{label.GetKey(), label.GetValue()}
	}
	slices.SortFunc(out, Label.compare)
	return slices.Compact(out)
}

// poolName tells sets of labels apart; "" is the empty one.
func poolName(labels []Label) string {
	var b []byte
	for _, label := range labels {
		b = label.append(b)
	}
	return string(b)
}

// append appends the label to b so that no two labels run into each other.
func (a Label) append(b []byte) []byte {
	for _, s := range [...]string{a.Key, a.Value} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}
