// Package turn has the lock for what is held while a disk or another master is
// waited for.
package turn

// Lock is a mutex that lets who waits in by turn. Unlike a sync.Mutex it shows in
// the virtual time of testing/synctest: there a goroutine that waits for a Lock is
// idle, so that the time can come at which its holder's disk answers. A Lock is
// made by New.
type Lock chan struct{}

// New returns a Lock that nobody holds.
func New() Lock { return make(Lock, 1) }

// Lock waits for its turn.
func (l Lock) Lock() { l <- struct{}{} }

// TryLock locks if nobody holds the lock, and reports whether it did.
func (l Lock) TryLock() bool {
	select {
	case l <- struct{}{}:
		return true
	default:
		return false
	}
}

// Unlock lets the next one in. Only who holds the lock may call it.
func (l Lock) Unlock() { <-l }
