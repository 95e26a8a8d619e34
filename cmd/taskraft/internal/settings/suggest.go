package settings

import "iter"

// Nearest returns the known name that is most like the given one, "" if none is
// close enough to be meant.
func Nearest(given string, known iter.Seq[string]) string {
	best, bestCost := "", max(len(given)/3, min(len(given)/2, 2))+1
	for name := range known {
		if cost := distance(given, name); cost < bestCost {
			best, bestCost = name, cost
		}
	}
	return best
}

// distance counts the insertions, deletions and replacements that turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
