package cli

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
)

// queueFlags are the flags of `queue set`.
type queueFlags struct {
	set                                   client.QueueSettings
	priority                              int32
	backoff                               []time.Duration
	retainCount                           uint64
	retainBytes                           int64
	rate                                  client.RateLimit
	burst                                 uint32
	priorityGiven, countGiven, bytesGiven bool
	maxTasks                              uint64
	maxBytes                              int64
	maxTasksGiven, maxBytesGiven          bool
	unset                                 []string
}

// settingNames are what --unset takes: the flags' names.
var settingNames = []string{
	"priority", "timeout", "max-attempts", "backoff", "retain", "retain-count", "retain-bytes",
	"max-running", "max-running-per-key", "rate", "ageing", "max-tasks", "max-bytes", "self-fence",
}

func (f *queueFlags) rows() settings.Table {
	const year = 365 * 24 * time.Hour
	return settings.Table{
		{Flag: "priority", Arg: "N", Value: settings.Int(&f.priority, -100, 100, &f.priorityGiven), Doc: "priority of tasks that have none, higher first"},
		{Flag: "timeout", Arg: "DURATION", Value: settings.Duration(&f.set.Timeout, time.Millisecond, 30*24*time.Hour), Doc: "limit of one attempt"},
		{Flag: "max-attempts", Arg: "N", Value: settings.Int(&f.set.MaxAttempts, 1, 100, nil), Doc: "attempts before a task is DEAD"},
		{Flag: "backoff", Arg: "BASE,MAX", List: true, Value: backoffValue(&f.backoff), Doc: "pause after a failure, doubling up to MAX", Example: "1s,10m"},
		{Flag: "retain", Arg: "DURATION", Value: settings.Duration(&f.set.Retain, time.Second, year), Doc: "how long the records of ended tasks are kept"},
		{Flag: "retain-count", Arg: "N", Value: settings.Int(&f.retainCount, 0, 1<<40, &f.countGiven), Doc: "how many of them are kept"},
		{Flag: "retain-bytes", Arg: "SIZE", Value: givenSize(&f.retainBytes, &f.bytesGiven), Doc: "how large they may be in all", Example: "64MiB"},
		{Flag: "max-running", Arg: "N", Value: settings.Int(&f.set.MaxRunning, 1, 1_000_000, nil), Doc: "how many tasks run at once"},
		{Flag: "max-running-per-key", Arg: "N", Value: settings.Int(&f.set.MaxRunningPerKey, 1, 1_000_000, nil), Doc: "how many of one concurrency key (1 unless set)"},
		{Flag: "rate", Arg: "N/PERIOD", Value: rateValue{&f.rate}, Doc: "how many attempts start in a period", Example: "100/s"},
		{Flag: "burst", Arg: "N", Value: settings.Int(&f.burst, 1, 1_000_000, nil), Doc: "how many of them may start at once, with --rate (1 unless set)"},
		{Flag: "ageing", Arg: "DURATION", Value: settings.Duration(&f.set.Ageing, time.Millisecond, year), Doc: "so much waiting is worth one step of priority", Example: "1m"},
		{Flag: "max-tasks", Arg: "N", Value: settings.Int(&f.maxTasks, 0, 1<<40, &f.maxTasksGiven), Doc: "how many tasks that have not ended it may hold; submits beyond are refused"},
		{Flag: "max-bytes", Arg: "SIZE", Value: givenSize(&f.maxBytes, &f.maxBytesGiven), Doc: "how large their payloads may be in all", Example: "64MiB"},
		{Flag: "self-fence", Value: settings.Switch(&f.set.SelfFence), Doc: "attempts stop by themselves when their worker hears of no master, before their tasks start elsewhere"},
		{Flag: "unset", Arg: "NAME,...", List: true, Value: settings.List(&f.unset, settings.OneOf(settingNames...)), Doc: "take the cluster's default again: " + strings.Join(settingNames, ", ")},
	}
}

// sizeGiven notes that a size was given.
type sizeGiven struct {
	settings.Value
	given *bool
}

func (s sizeGiven) Set(texts []string) error {
	*s.given = true
	return s.Value.Set(texts)
}

func givenSize(p *int64, given *bool) settings.Value {
	return sizeGiven{settings.Size(p, 0, 1<<40), given}
}

// backoffPair takes BASE or BASE,MAX.
type backoffPair struct{ p *[]time.Duration }

func backoffValue(p *[]time.Duration) settings.Value { return backoffPair{p} }

func (b backoffPair) Set(texts []string) error {
	const most = 30 * 24 * time.Hour
	if len(texts) > 2 {
		return &settings.Invalid{Problem: "more than two durations", Want: "BASE or BASE,MAX"}
	}
	pair := make([]time.Duration, len(texts))
	for i, s := range texts {
		if err := settings.Duration(&pair[i], time.Millisecond, most).Set([]string{s}); err != nil {
			return err
		}
	}
	if len(pair) == 2 && pair[1] < pair[0] {
		return &settings.Invalid{Problem: "the maximum is less than the base", Want: "BASE,MAX with MAX ≥ BASE"}
	}
	*b.p = pair
	return nil
}

func (b backoffPair) String() string {
	var out []string
	for _, d := range *b.p {
		out = append(out, settings.ShortDuration(d))
	}
	return strings.Join(out, ",")
}

func (a *app) queueSetCommand() *cobra.Command {
	f := new(queueFlags)
	return a.command(commandSpec{
		use: "set QUEUE [flags]", short: "Set a queue's limits, and what its tasks take when they say nothing",
		long: `Set a queue's limits, and the options that its tasks take when they have none.
What is not named stays as it is. The queue is made if it is new.`,
		example: `  taskraft queue set mail --timeout 30s --max-attempts 10
  taskraft queue set mail --max-running 20 --rate 100/s --burst 20
  taskraft queue set mail --unset timeout,rate`,
		rows: concat(f.rows(), a.dataRows()), args: queueArgs("set", 1), check: f.check,
		run: func(ctx context.Context, args []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				q, err := c.UpdateQueue(ctx, args[0], f.settings())
				if err != nil {
					return err
				}
				return a.printQueue(q)
			})
		},
	})
}

func (f *queueFlags) check() []settings.Problem {
	if f.burst != 0 && f.rate.Tokens == 0 {
		return []settings.Problem{{Where: "--burst", Problem: "given without --rate", Want: "both: a rate limit is set as a whole", Do: "add --rate"}}
	}
	return nil
}

// settings is what the flags say.
func (f *queueFlags) settings() client.QueueSettings {
	s := f.set
	if f.priorityGiven {
		s.Priority = &f.priority
	}
	if f.countGiven {
		s.RetainCount = &f.retainCount
	}
	if f.bytesGiven {
		bytes := uint64(f.retainBytes)
		s.RetainBytes = &bytes
	}
	if f.maxTasksGiven {
		s.MaxTasks = &f.maxTasks
	}
	if f.maxBytesGiven {
		bytes := uint64(f.maxBytes)
		s.MaxBytes = &bytes
	}
	if pair := slices.Concat(f.backoff, []time.Duration{0, 0}); len(f.backoff) > 0 {
		s.BackoffBase, s.BackoffMax = pair[0], pair[1]
	}
	if f.rate.Tokens != 0 {
		s.Rate = &client.RateLimit{Tokens: f.rate.Tokens, Period: f.rate.Period, Burst: f.burst}
	}
	for _, name := range f.unset {
		s.Unset = append(s.Unset, strings.ReplaceAll(name, "-", "_"))
	}
	return s
}

func orOld[T comparable](given, old T) T {
	var zero T
	if given == zero {
		return old
	}
	return given
}

// rateValue takes N/PERIOD: 100/s, 10/m, 5/10s.
type rateValue struct{ p *client.RateLimit }

func (v rateValue) Set(texts []string) error {
	invalid := &settings.Invalid{Problem: "not a rate", Want: "N/PERIOD, as in 100/s, 10/m or 5/10s; at most 1000000 and one in a microsecond, PERIOD 1ms to 24h"}
	tokens, period, ok := strings.Cut(texts[0], "/")
	n, err := strconv.ParseUint(tokens, 10, 32)
	if !ok || err != nil || n == 0 || n > 1_000_000 {
		return invalid
	}
	if period != "" && (period[0] < '0' || period[0] > '9') {
		period = "1" + period
	}
	d, err := time.ParseDuration(period)
	if err != nil || d < max(time.Millisecond, time.Duration(n)*time.Microsecond) || d > 24*time.Hour {
		return invalid
	}
	v.p.Tokens, v.p.Period = uint32(n), d
	return nil
}

func (v rateValue) String() string {
	if v.p.Tokens == 0 {
		return ""
	}
	return rateText(v.p.Tokens, v.p.Period)
}

// rateText is a rate as rateValue takes it.
func rateText(tokens uint32, period time.Duration) string {
	text := settings.ShortDuration(period)
	if unit, ok := strings.CutPrefix(text, "1"); ok && (unit == "s" || unit == "m" || unit == "h" || unit == "ms") {
		text = unit
	}
	return strconv.FormatUint(uint64(tokens), 10) + "/" + text
}
