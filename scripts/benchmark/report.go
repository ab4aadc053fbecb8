package main

import (
	"fmt"
	"io"
	"os"
	"slices"
)

// report gathers the rows of the final table.
type report struct{ rows [][5]string }

func (r *report) add(work, nexo, peer, ratio, wanted string) {
	r.rows = append(r.rows, [5]string{work, nexo, peer, ratio, wanted})
	fmt.Fprintf(os.Stderr, "  %s: %s, peer %s, ratio %s (wanted %s)\n", work, nexo, peer, ratio, wanted)
}

func (r *report) print(w io.Writer) {
	fmt.Fprintln(w, "| work | nexo | peer | ratio | wanted |\n|---|---|---|---|---|")
	for _, row := range r.rows {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", row[0], row[1], row[2], row[3], row[4])
	}
}

// paired measures a and b alternately and returns the median of each and the median of the rounds' ratios a/b. Every
// second round runs b first, so that neither profits from its place.
func paired(rounds int, a, b func() (float64, error)) (first, second, ratio float64, err error) {
	var as, bs, ratios []float64
	for round := range rounds {
		var x, y float64
		if round%2 == 0 {
			if x, err = a(); err == nil {
				y, err = b()
			}
		} else {
			if y, err = b(); err == nil {
				x, err = a()
			}
		}
		if err != nil {
			return 0, 0, 0, err
		}
		as, bs, ratios = append(as, x), append(bs, y), append(ratios, x/y)
	}
	return median(as), median(bs), median(ratios), nil
}

func median(values []float64) float64 {
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}

// rate writes a number of things per second.
func rate(perSecond float64) string {
	switch {
	case perSecond >= 1e6:
		return fmt.Sprintf("%.2fM/s", perSecond/1e6)
	case perSecond >= 1e3:
		return fmt.Sprintf("%.0fk/s", perSecond/1e3)
	}
	return fmt.Sprintf("%.0f/s", perSecond)
}
