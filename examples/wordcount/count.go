package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
	"github.com/taskraft/taskraft/worker"
)

const (
	queue      = "wordcount"
	mapKind    = "count-words"
	reduceKind = "add-up"
	kept       = 1000 // words of the result
)

// word is a word and how often it occurs.
type word struct {
	Word  string
	Count int
}

// count submits the tasks and returns what the last of them found.
func count(ctx context.Context, c *client.Client, files []string, parts int) ([]word, error) {
	texts, err := split(files, parts)
	if err != nil {
		return nil, err
	}
	batch := client.Batch{Name: "wordcount"}
	reduce := client.Task{Queue: queue, Kind: reduceKind}
	for i, text := range texts {
		batch.Tasks = append(batch.Tasks, client.Task{Queue: queue, Kind: mapKind, Payload: text})
		reduce.AfterItems = append(reduce.AfterItems, uint32(i))
	}
	batch.Tasks = append(batch.Tasks, reduce)
	receipt, err := c.SubmitBatch(ctx, batch)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "batch %d: %d tasks\n", receipt.ID, receipt.Total)
	if _, err := c.WaitBatch(ctx, receipt.ID); err != nil {
		return nil, err
	}
	last, err := c.Get(ctx, receipt.First+receipt.Total-1)
	if err != nil {
		return nil, err
	}
	if last.GetState() != taskraftv1.TaskState_SUCCEEDED {
		return nil, fmt.Errorf("task %d is %s: %s", last.GetId(), last.GetState(), last.GetError())
	}
	var words []word
	if err := json.Unmarshal(last.GetResult(), &words); err != nil {
		return nil, fmt.Errorf("read the result: %w", err)
	}
	return words, nil
}

// split cuts the files, one after the other, into so many parts between two lines.
func split(files []string, parts int) ([][]byte, error) {
	var all []byte
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all = append(append(all, text...), '\n')
	}
	out := make([][]byte, parts)
	for i := range out {
		end := len(all) / (parts - i)
		if nl := bytes.IndexByte(all[end:], '\n'); nl >= 0 {
			end += nl + 1
		}
		out[i], all = all[:end], all[end:]
	}
	return out, nil
}

// countPart is the map step: it counts the words of its payload.
func countPart(slow time.Duration) worker.Handler {
	return func(ctx context.Context, t *worker.Task) (worker.Result, error) {
		select {
		case <-time.After(slow):
		case <-ctx.Done():
			return worker.Result{}, context.Cause(ctx)
		}
		data, err := json.Marshal(countWords(string(t.Payload)))
		return worker.Result{Data: data, ContentType: "application/json"}, err
	}
}

func countWords(text string) map[string]int {
	counts := make(map[string]int)
	isPart := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	for w := range strings.FieldsFuncSeq(text, func(r rune) bool { return !isPart(r) }) {
		counts[strings.ToLower(w)]++
	}
	return counts
}

// addUp is the reduce step: it adds up the results of the tasks that it waited for.
func addUp(c *client.Client) worker.Handler {
	return func(ctx context.Context, t *worker.Task) (worker.Result, error) {
		me, err := c.Get(ctx, t.ID)
		if err != nil {
			return worker.Result{}, err
		}
		total := make(map[string]int)
		for _, parent := range me.GetSpec().GetAfter() {
			part, err := c.Get(ctx, parent)
			if err != nil {
				return worker.Result{}, err
			}
			var counts map[string]int
			if err := json.Unmarshal(part.GetResult(), &counts); err != nil {
				return worker.Result{}, worker.Permanent(fmt.Errorf("read the result of task %d: %w", parent, err))
			}
			for w, n := range counts {
				total[w] += n
			}
		}
		data, err := json.Marshal(sorted(total)[:min(kept, len(total))])
		return worker.Result{Data: data, ContentType: "application/json"}, err
	}
}

// sorted returns the words, the most frequent first.
func sorted(counts map[string]int) []word {
	words := make([]word, 0, len(counts))
	for _, w := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, word{w, counts[w]})
	}
	slices.SortStableFunc(words, func(a, b word) int { return cmp.Compare(b.Count, a.Count) })
	return words
}
