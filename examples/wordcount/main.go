package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/worker"
)

func main() {
	masters := flag.String("masters", "127.0.0.1:7400,127.0.0.1:7410,127.0.0.1:7420", "the masters' gRPC addresses")
	parts := flag.Int("parts", 20, "map tasks")
	workers := flag.Int("workers", 3, "workers in this process")
	top := flag.Int("top", 20, "how many words to print")
	slow := flag.Duration("slow", 0, "let each map task take this much longer, to have time to watch")
	flag.Parse()
	if err := run(context.Background(), strings.Split(*masters, ","), flag.Args(), settings{*parts, *workers, *top, *slow}); err != nil {
		fmt.Fprintln(os.Stderr, "wordcount:", err)
		os.Exit(1)
	}
}

// settings are what the flags say beside masters and files.
type settings struct {
	parts, workers, top int
	slow                time.Duration
}

func run(ctx context.Context, masters, files []string, s settings) error {
	c, err := client.New(client.Config{Masters: masters})
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, s.workers)
	for i := range s.workers {
		go func() { ended <- work(ctx, masters, c, i, s.slow) }()
	}
	words, err := count(ctx, c, files, s.parts)
	stop()
	for range s.workers {
		err = errors.Join(err, <-ended)
	}
	if err != nil {
		return err
	}
	for _, w := range words[:min(s.top, len(words))] {
		fmt.Printf("%7d %s\n", w.Count, w.Word)
	}
	return nil
}

// work is one worker.
func work(ctx context.Context, masters []string, c *client.Client, n int, slow time.Duration) error {
	err := worker.Run(ctx, worker.Config{
		Masters: masters, ID: fmt.Sprintf("wordcount-%d-%d", os.Getpid(), n), Slots: 2,
		Queues:   []worker.Queue{{Name: queue}},
		Handlers: map[string]worker.Handler{mapKind: countPart(slow), reduceKind: addUp(c)},
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
