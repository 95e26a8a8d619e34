package metrics

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/taskraft/taskraft/cluster"
)

// classic are the bounds that a scraper without native histograms gets: powers of
// four from a quarter of a millisecond to a bit over an hour, as exponents of two.
const (
	classicFirst, classicLast, classicStep = -12, 12, 2
	// schema is the native one whose buckets the node's are.
	schema = 2
)

// histogram has classic and native buckets at once.
type histogram struct {
	prometheus.Metric // with the native ones
	data              cluster.Histogram
}

func (s sink) histogram(name, help string, h cluster.Histogram, labels ...string) {
	names, values := split(labels)
	positive := make(map[int]int64)
	for i, n := range h.Buckets {
		if n > 0 {
			positive[i+cluster.FirstBucket] = int64(n)
		}
	}
	native := prometheus.MustNewConstNativeHistogram(desc(name, help, names), h.Count, h.Sum, positive, nil, 0, schema, 1e-9, time.Time{}, values...)
	s.out <- histogram{native, h}
}

// Write implements prometheus.Metric.
func (h histogram) Write(m *dto.Metric) error {
	if err := h.Metric.Write(m); err != nil {
		return err
	}
	next, below := 0, uint64(0)
	for exp := classicFirst; exp <= classicLast; exp += classicStep {
		for ; next <= exp*4-cluster.FirstBucket; next++ {
			below += h.data.Buckets[next]
		}
		m.Histogram.Bucket = append(m.Histogram.Bucket, &dto.Bucket{
			CumulativeCount: new(below), UpperBound: new(math.Ldexp(1, exp)),
		})
	}
	return nil
}
