package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/taskraft/taskraft/internal/checker"
	"github.com/taskraft/taskraft/internal/faultdisk"
	"github.com/taskraft/taskraft/internal/proc"
)

// diskKinds are faults of disks under masters that run.
var diskKinds = []kind{
	{name: "power cut of one", do: powerCutOne, needs: needsDisk},
	{name: "power cut of two", do: powerCutTwo, needs: needsDisk},
	{name: "power cut of all", do: powerCutAll, needs: needsDisk},
	{name: "full disk of leader", do: fullLeader, needs: needsDisk},
	{name: "full disk of follower", do: fullFollower, needs: needsDisk},
	{name: "full disks of all", do: fullAll, needs: needsDisk},
	{name: "no space for a write", do: noSpace, needs: needsDisk},
	{name: "write error", do: writeError, needs: needsDisk},
	{name: "sync error", do: syncError, needs: needsDisk},
	{name: "disk of leader hangs", do: hangLeader, needs: needsDisk},
	{name: "disk of follower hangs", do: hangFollower, needs: needsDisk},
	{name: "slow disks", do: slowDisks, needs: needsDisk},
	{name: "disk hangs for ever", do: hangForEver, needs: needsDisk, long: true},
}

func powerCutOne(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	m, err := h.anyMaster(ctx, f)
	if err != nil {
		return "", err
	}
	return h.powerCut(ctx, m)
}

func powerCutTwo(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	all := h.stage.cluster.Masters()
	spared := h.rng.IntN(len(all))
	f.Target = "not " + all[spared].Name
	var two []*proc.Master
	for i, m := range all {
		if i != spared {
			two = append(two, m)
		}
	}
	return h.powerCut(ctx, two...)
}

func powerCutAll(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	f.Target = "all"
	return h.powerCut(ctx, h.stage.cluster.Masters()...)
}

// powerCut kills masters at once, and their disks lose what was not synced, or half
// of the time a part of it. Everything acknowledged must be there when they are back
// (S18): the checker finds it in the log, and the drain at the end.
func (h *hand) powerCut(ctx context.Context, masters ...*proc.Master) (string, error) {
	for _, m := range masters {
		if err := m.Process().Signal(syscall.SIGKILL); err != nil {
			return "", err
		}
	}
	torn, lost := h.rng.IntN(2) == 0, 0
	for _, m := range masters {
		<-m.Process().Done()
		n, err := h.stage.disks[m.Name].PowerCut(torn)
		if err != nil {
			return "", fmt.Errorf("power cut: %w", err)
		}
		lost += n
	}
	began := time.Now()
	if err := h.stage.cluster.Start(); err != nil {
		return "", err
	}
	for _, m := range masters {
		if err := h.stage.cluster.Rejoined(ctx, m); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("killed, and %d changes on disk lost; back after %d ms", lost, time.Since(began).Milliseconds()), nil
}

// fullLeader: it refuses new work and hands leadership to a master with room.
func fullLeader(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	m, term, err := h.leader(ctx, f)
	if err != nil {
		return "", err
	}
	d := h.stage.disks[m.Name]
	d.Set(faultdisk.Faults{Full: true})
	effect, err := h.deposed(ctx, m, term)
	d.Set(faultdisk.Faults{})
	return effect, errors.Join(err, h.up(ctx, m))
}

func fullFollower(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	m, err := h.follower(ctx, f)
	if err != nil {
		return "", err
	}
	d := h.stage.disks[m.Name]
	d.Set(faultdisk.Faults{Full: true})
	err = h.alarmed(ctx, m, "DISK_LOW")
	d.Set(faultdisk.Faults{})
	return "it says DISK_LOW", errors.Join(err, h.up(ctx, m))
}

// fullAll: what runs may end, nothing new is accepted, until there is room again.
func fullAll(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	f.Target = "all"
	for _, d := range h.stage.disks {
		d.Set(faultdisk.Faults{Full: true})
	}
	var errs []error
	for _, m := range h.stage.cluster.Masters() {
		errs = append(errs, h.alarmed(ctx, m, "DISK_LOW"))
	}
	for _, d := range h.stage.disks {
		d.Set(faultdisk.Faults{})
	}
	freed := time.Now()
	for _, m := range h.stage.cluster.Masters() {
		errs = append(errs, h.up(ctx, m))
	}
	errs = append(errs, proc.Poll(ctx, 100*time.Millisecond, "something is acknowledged again", func() bool {
		_, changes := h.crowd.told("", freed, time.Now())
		return changes > 0
	}))
	return fmt.Sprintf("all say DISK_LOW; acknowledged again %d ms after there was room", time.Since(freed).Milliseconds()), errors.Join(errs...)
}

// alarmed waits until a master raises an alarm. One that a full disk has ended has
// raised it loudest.
func (n *nemesis) alarmed(ctx context.Context, m *proc.Master, alarm string) error {
	return proc.Poll(ctx, 20*time.Millisecond, m.Name+" raises "+alarm, func() bool {
		s, err := m.Status(ctx)
		return !m.Running() || err == nil && slices.Contains(s.GetAlarms(), alarm)
	})
}

// up starts a master that has ended and waits until it has caught up.
func (n *nemesis) up(ctx context.Context, m *proc.Master) error {
	if err := n.stage.cluster.Start(); err != nil {
		return err
	}
	return n.stage.cluster.Rejoined(ctx, m)
}

func noSpace(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	return h.fails(ctx, f, faultdisk.Faults{WriteErr: syscall.ENOSPC, Full: true})
}

func writeError(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	return h.fails(ctx, f, faultdisk.Faults{WriteErr: syscall.EIO})
}

// syncError: a sync that failed is never repeated (fsyncgate).
func syncError(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	return h.fails(ctx, f, faultdisk.Faults{SyncErr: syscall.EIO})
}

// fails: a master whose disk fails ends, with the code for that, and comes back when
// the disk is sound and has lost what it did not confirm.
func (h *hand) fails(ctx context.Context, f *checker.Fault, fault faultdisk.Faults) (string, error) {
	m, err := h.anyMaster(ctx, f)
	if err != nil {
		return "", err
	}
	d := h.stage.disks[m.Name]
	d.Set(fault)
	err = ended(ctx, m)
	d.Set(faultdisk.Faults{})
	if err != nil {
		return "", err
	}
	lost, err := d.PowerCut(true)
	if err != nil {
		return "", fmt.Errorf("power cut: %w", err)
	}
	return fmt.Sprintf("exit status 10, and %d changes on disk lost", lost), h.back(ctx, m)
}

// ended waits until a master has ended with the code for its disk.
func ended(ctx context.Context, m *proc.Master) error {
	select {
	case <-m.Process().Done():
	case <-ctx.Done():
		return fmt.Errorf("%s did not end: %w", m.Name, context.Cause(ctx))
	}
	if exit := m.Process().Exit(); exit != "exit status 10" {
		return fmt.Errorf("%s ended with %s, want exit status 10", m.Name, exit)
	}
	return nil
}

// hangLeader: after 2 s it isolates itself, and comes back when its write returns.
func hangLeader(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	m, term, err := h.leader(ctx, f)
	if err != nil {
		return "", err
	}
	d := h.stage.disks[m.Name]
	d.Set(faultdisk.Faults{Hang: true})
	effect, err := h.deposed(ctx, m, term)
	err = errors.Join(err, pass(ctx, h.between(0, 2)))
	d.Set(faultdisk.Faults{})
	return effect, errors.Join(err, h.stage.cluster.Rejoined(ctx, m))
}

func hangFollower(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	m, err := h.follower(ctx, f)
	if err != nil {
		return "", err
	}
	d := h.stage.disks[m.Name]
	d.Set(faultdisk.Faults{Hang: true})
	err = pass(ctx, h.between(1, 4))
	hits := d.Hits()
	d.Set(faultdisk.Faults{})
	if err = errors.Join(err, h.stage.cluster.Rejoined(ctx, m)); err != nil || hits == 0 {
		return "", err
	}
	return fmt.Sprintf("%d operations hung", hits), nil
}

// hangForEver: after half a minute it gives up. Its process is gone when the disk
// lets go of it.
func hangForEver(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	m, err := h.anyMaster(ctx, f)
	if err != nil {
		return "", err
	}
	d := h.stage.disks[m.Name]
	d.Set(faultdisk.Faults{Hang: true})
	err = pass(ctx, 34*time.Second) // it gives up after 30
	d.Set(faultdisk.Faults{})
	if err = errors.Join(err, ended(ctx, m)); err != nil {
		return "", err
	}
	return "gave up, and exit status 10 when the disk let go", h.back(ctx, m)
}

// slowDisks makes every sync take its time, below what heartbeats forgive: work goes
// on, and nobody is deposed for it.
func slowDisks(ctx context.Context, h *hand, f *checker.Fault) (string, error) {
	f.Target = "all"
	m, term, err := h.leader(ctx, f)
	if err != nil {
		return "", err
	}
	f.Target = "all"
	delay := h.between(0.05, 0.2)
	for _, d := range h.stage.disks {
		d.Set(faultdisk.Faults{SyncDelay: delay})
	}
	began := time.Now()
	err = pass(ctx, h.between(3, 5))
	_, changes := h.crowd.told("", began, time.Now())
	for _, d := range h.stage.disks {
		d.Set(faultdisk.Faults{})
	}
	if err != nil || changes == 0 {
		return "", errors.Join(err, errors.New("nothing was acknowledged with slow disks"))
	}
	same := "the leader stayed"
	if s, err := m.Status(ctx); err != nil || s.GetTerm() != term {
		same = "the leader changed"
	}
	return fmt.Sprintf("%d ms a sync: %d changes acknowledged, %s", delay.Milliseconds(), changes, same), nil
}
