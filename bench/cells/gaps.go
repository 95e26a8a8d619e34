package cells

import (
	"context"
	"errors"
	"time"

	"github.com/taskraft/taskraft/bench/peer"
)

const (
	// settle is how long after a kill the gap is waited for.
	settle = 2 * time.Second
	// flowing is the silence below which completions flow.
	flowing = 100 * time.Millisecond
	// killPause is how far kills are apart.
	killPause = 6 * time.Second
	// gapLimit is the longest gap that is waited for.
	gapLimit = 2 * time.Minute
)

// kills ends the leader with kill -9 again and again, and notes how long
// completions were away each time.
func (p *Plan) kills(ctx context.Context, l *load, r *Result) error {
	killer, ok := l.system.(peer.Killer)
	if !ok {
		return errors.New("a system without a leader has no gap to measure")
	}
	for i := range p.Kills {
		began := time.Now()
		gap, err := kill(ctx, l.record, killer)
		if err != nil {
			return err
		}
		r.Gaps = append(r.Gaps, millis(gap))
		p.Talk("    kill %d of %d: gap %v", i+1, p.Kills, gap.Round(time.Millisecond/10))
		if i+1 < p.Kills {
			if err := wait(ctx, killPause-time.Since(began)); err != nil {
				return err
			}
		}
	}
	return nil
}

func kill(ctx context.Context, r *record, killer peer.Killer) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, gapLimit, errors.New("completions do not flow again after a kill"))
	defer cancel()
	r.longest.Store(0)
	revive, err := killer.KillLeader(ctx)
	if err != nil {
		return 0, err
	}
	at := time.Now()
	for time.Since(at) < settle || r.silence() >= flowing {
		if err := wait(ctx, flowing/4); err != nil {
			return 0, err
		}
	}
	gap := time.Duration(r.longest.Load())
	return gap, revive(ctx)
}
