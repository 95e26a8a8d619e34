package top

import "strings"

var eighths = []rune(" ▁▂▃▄▅▆▇█")

// chart draws the newest values as bars, height lines high, the newest rightmost. A
// value above zero always shows.
func chart(values []float64, width, height int) []string {
	values = values[max(len(values)-width, 0):]
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	lines := make([]string, height)
	for row := range lines {
		floor := (height - 1 - row) * 8 // eighths below this row
		var b strings.Builder
		b.WriteString(strings.Repeat(" ", width-len(values)))
		for _, v := range values {
			bar := 0
			if v > 0 {
				bar = max(int(v/top*float64(8*height)+0.5), 1)
			}
			b.WriteRune(eighths[max(min(bar-floor, 8), 0)])
		}
		lines[row] = b.String()
	}
	return lines
}

// series picks one value of every sample.
func (h *history) series(pick func(sample) float64) []float64 {
	out := make([]float64, len(h.samples))
	for i, s := range h.samples {
		out[i] = pick(s)
	}
	return out
}

// newest is the last sample.
func (h *history) newest() sample {
	if len(h.samples) == 0 {
		return sample{}
	}
	return h.samples[len(h.samples)-1]
}
