package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

// posters is how many keep-alive connections submit at once.
const posters = 64

// http measures submits by POST, and what an open dashboard costs a full load.
func (b *bench) http(ctx context.Context) error {
	return b.with(ctx, 3, nil, func(ctx context.Context, c *proc.Cluster) error {
		leader, err := c.Leader(ctx)
		if err != nil {
			return err
		}
		before := usage(c).CPU
		took, err := b.posts(ctx, leader.HTTP)
		if err != nil {
			return err
		}
		b.judge(fmt.Sprintf("POST /tasks, %d connections", posters), float64(len(took))/b.measure.Seconds(), "/s", atLeast(5000))
		b.note("its p50", millis(took[len(took)/2]), "ms")
		b.note("its p99", millis(took[len(took)*99/100]), "ms")
		b.note("CPU of all masters for each", float64((usage(c).CPU-before).Microseconds())/float64(len(took)), "µs")
		return b.watched(ctx, c)
	})
}

// posts submits on all connections for the time of a measurement, and returns how long
// each took, sorted.
func (b *bench) posts(ctx context.Context, addr string) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, b.measure)
	defer cancel()
	var all []time.Duration
	var mu sync.Mutex
	var wg sync.WaitGroup
	errs := make([]error, posters)
	for i := range posters {
		wg.Go(func() {
			p, err := dialPoster(addr)
			if err != nil {
				errs[i] = err
				return
			}
			defer p.conn.Close()
			var took []time.Duration
			for errs[i] == nil && ctx.Err() == nil {
				start := time.Now()
				errs[i] = p.post()
				took = append(took, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
		})
	}
	wg.Wait()
	slices.Sort(all)
	return all, errors.Join(errs...)
}

// poster is one connection. It does as little as it can: it shares the machine with
// what it measures.
type poster struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
}

func dialPoster(addr string) (*poster, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	body := `{"cmd": "touch test.txt"}`
	return &poster{conn, bufio.NewReader(conn), fmt.Appendf(nil,
		"POST /tasks HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", addr, len(body), body)}, nil
}

func (p *poster) post() error {
	if _, err := p.conn.Write(p.request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(p.in, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("POST /tasks: %s: %s", resp.Status, text)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// watchRounds is how often a load is measured with and without a page in turn: one
// machine is not equally fast twice.
const watchRounds = 3

// watched measures a full load without and with an open dashboard on the leader.
func (b *bench) watched(ctx context.Context, c *proc.Cluster) error {
	leader, err := c.Leader(ctx)
	if err != nil {
		return err
	}
	var alone, seen float64
	for range watchRounds {
		o, err := b.put(ctx, c, b.batched(c))
		if err != nil {
			return err
		}
		alone += o.perSecond / watchRounds
		page, err := openPage(ctx, leader.HTTP)
		if err != nil {
			return err
		}
		o, err = b.put(ctx, c, b.batched(c))
		fetched, failed := page.close()
		if err := errors.Join(err, failed); err != nil {
			return err
		}
		b.say("%d fetches of the page", fetched)
		seen += o.perSecond / watchRounds
	}
	b.note("lifecycles/s without a dashboard", alone, "/s")
	b.note("lifecycles/s with one open", seen, "/s")
	b.judge("what it costs", 100*(1-seen/alone), "%", atMost(3))
	return nil
}

// page is a dashboard that is open: it listens to the stream of news and, as the
// page's script does, fetches itself again when there are any, after a pause of four
// times as long as that took.
type page struct {
	cancel  context.CancelFunc
	over    sync.WaitGroup
	fetched atomic.Int64
	err     error
}

const refetch = 300 * time.Millisecond // the shortest pause

func openPage(ctx context.Context, addr string) (*page, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &page{cancel: cancel}
	stream, err := get(ctx, "http://"+addr+"/ui/live")
	if err != nil {
		cancel()
		return nil, err
	}
	news := make(chan struct{}, 1)
	p.over.Go(func() {
		defer stream.Close()
		for in := bufio.NewScanner(stream); in.Scan(); {
			if strings.HasPrefix(in.Text(), "event: news") {
				select {
				case news <- struct{}{}:
				default:
				}
			}
		}
	})
	p.over.Go(func() { p.err = p.follow(ctx, addr, news) })
	return p, nil
}

func (p *page) follow(ctx context.Context, addr string, news <-chan struct{}) error {
	for {
		select {
		case <-news:
		case <-ctx.Done():
			return nil
		}
		began := time.Now()
		body, err := get(ctx, "http://"+addr+"/ui/")
		if err == nil {
			_, err = io.Copy(io.Discard, body)
			body.Close()
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		p.fetched.Add(1)
		if sleep(ctx, max(refetch, 4*time.Since(began))) != nil {
			return nil
		}
	}
}

// close ends the page and returns how often it was fetched.
func (p *page) close() (int64, error) {
	p.cancel()
	p.over.Wait()
	return p.fetched.Load(), p.err
}

func get(ctx context.Context, url string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return resp.Body, nil
}
