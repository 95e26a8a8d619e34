package model

// holder returns the task that keeps others with its unique key out, if there is
// one: it has not ended, nor started if it keeps the key until then (S20).
func (m *Table) holder(key string) *Task {
	for _, t := range m.tasks {
		if key != "" && t.Unique == key && !t.Terminal() && !(t.UntilStart && t.started) {
			return t
		}
	}
	return nil
}
