package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
)

// bar is what a row is held to. The zero bar holds to nothing.
type bar struct {
	comparison string // ">=", "<=" or "<"
	limit      float64
	text       string
	share      float64 // of the rounds that must keep the limit; 0: the median must
}

func atLeast(limit float64) bar {
	return bar{comparison: ">=", limit: limit, text: fmt.Sprintf(">= %g", limit)}
}
func atMost(limit float64) bar {
	return bar{comparison: "<=", limit: limit, text: fmt.Sprintf("<= %g", limit)}
}
func below(limit float64) bar {
	return bar{comparison: "<", limit: limit, text: fmt.Sprintf("< %g", limit)}
}

// belowInMost wants four of five rounds below the limit.
func belowInMost(limit float64) bar {
	return bar{comparison: "<", limit: limit, text: fmt.Sprintf("< %g in 4 of 5", limit), share: 0.8}
}

// named gives the bar another text, when it holds to something that is not a ratio.
func (b bar) named(text string) bar {
	b.text = text
	return b
}

func (b bar) keeps(value float64) bool {
	switch b.comparison {
	case ">=":
		return value >= b.limit
	case "<=":
		return value <= b.limit
	case "<":
		return value < b.limit
	}
	panic("BUG: comparison " + b.comparison)
}

// tooShort stands for a ratio of processor times so short that /proc tells of none.
const tooShort = "too short to tell"

// verdict says whether the values of the rounds keep to the bar.
func (b bar) verdict(values []float64) string {
	if b.comparison == "" {
		return "-"
	}
	if !finite(values) {
		return tooShort
	}
	kept, count := 0, ""
	for _, value := range values {
		if b.keeps(value) {
			kept++
		}
	}
	met := len(values) > 0 && b.keeps(median(values))
	if b.share > 0 {
		met = len(values) > 0 && kept >= int(math.Ceil(b.share*float64(len(values))))
		count = fmt.Sprintf(" (%d of %d)", kept, len(values))
	}
	if met {
		return "met" + count
	}
	return "**not met**" + count
}

// row is one line of a table. other and what belongs to it is empty without a second nexo.
type row struct {
	work              string
	nexo, other, peer string
	ratios            []float64 // of nexo to its peer, by round
	otherRatios       []float64 // of the other nexo to its peer
	gains             []float64 // of nexo to the other
	bar               bar
	judged            []float64 // what the bar is for, when that is not the ratios
}

func (r row) values() []float64 {
	if r.judged != nil {
		return r.judged
	}
	return r.ratios
}

// report gathers the rows of one group after the other.
type report struct {
	other bool // there is a second nexo
	group group
	rows  []row
}

func (r *report) begin(g group) { r.group, r.rows = g, nil }

func (r *report) add(line row) {
	r.rows = append(r.rows, line)
	fmt.Fprintf(os.Stderr, "  %s\n", strings.Join(r.cells(line), " | "))
}

func (r *report) headings() []string {
	if r.other {
		return []string{"work", "nexo", "other", "peer", "nexo / peer", "other / peer", "nexo / other", "bar", "met"}
	}
	return []string{"work", "nexo", "peer", "nexo / peer", "bar", "met"}
}

func (r *report) cells(line row) []string {
	text := line.bar.text
	if text == "" {
		text = "-"
	}
	verdict := line.bar.verdict(line.values())
	if r.other {
		return []string{line.work, line.nexo, dash(line.other), dash(line.peer), spread(line.ratios), spread(line.otherRatios),
			spread(line.gains), text, verdict}
	}
	return []string{line.work, line.nexo, dash(line.peer), spread(line.ratios), text, verdict}
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n## %s: %s\n\n%s", r.group.name, r.group.title, r.table())
}

// table leaves out the bars when there are none.
func (r *report) table() string {
	headings := r.headings()
	columns := len(headings)
	if !slices.ContainsFunc(r.rows, func(line row) bool { return line.bar.comparison != "" }) {
		columns -= 2
	}
	var text strings.Builder
	fmt.Fprintf(&text, "| %s |\n%s|\n", strings.Join(headings[:columns], " | "), strings.Repeat("|---", columns))
	for _, line := range r.rows {
		fmt.Fprintf(&text, "| %s |\n", strings.Join(r.cells(line)[:columns], " | "))
	}
	return text.String()
}

// insert puts a table into a page, in the place of what is between the marks of its group.
func insert(page, group, text string) (string, error) {
	begin, end := "<!-- scripts/bench "+group+" -->\n", "<!-- end of "+group+" -->"
	before, rest, found := strings.Cut(page, begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return "", fmt.Errorf("the page has no place for %s, between %q and %q", group, strings.TrimSpace(begin), end)
	}
	return before + begin + text + end + after, nil
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func finite(values []float64) bool {
	return !slices.ContainsFunc(values, func(value float64) bool { return math.IsNaN(value) || math.IsInf(value, 0) })
}

// spread writes the median of ratios, and the least and the greatest when there are several.
func spread(ratios []float64) string {
	if !finite(ratios) {
		return tooShort
	}
	switch len(ratios) {
	case 0:
		return "-"
	case 1:
		return fmt.Sprintf("%.2f", ratios[0])
	}
	return fmt.Sprintf("%.2f (%.2f-%.2f)", median(ratios), slices.Min(ratios), slices.Max(ratios))
}

// alternate takes all measurements in turn, round by round, and returns what each gave in each round. Every second round
// runs in the opposite order, so that none profits from its place.
func alternate[T any](rounds int, measurements ...func() (T, error)) ([][]T, error) {
	results := make([][]T, len(measurements))
	for round := range rounds {
		for place := range measurements {
			if round%2 == 1 {
				place = len(measurements) - 1 - place
			}
			result, err := measurements[place]()
			if err != nil {
				return nil, err
			}
			results[place] = append(results[place], result)
		}
	}
	return results, nil
}

// race is what alternating measurements gave, by round. A peer of the other nexo is its own when peers are measured at
// nexo itself, and the same as nexo's when they are measured at a third server.
type race[T any] struct{ nexo, peer, other, otherPeer []T }

// runRace measures nexo, and the other nexo, against a peer: another kind of work at the server beside, or at nexo itself when
// that is nil.
func runRace[T any](b *bench, ours, peer func(*server) (T, error), beside *server) (*race[T], error) {
	at := func(s *server, measure func(*server) (T, error)) func() (T, error) {
		return func() (T, error) { return measure(s) }
	}
	var measurements []func() (T, error)
	first := func(s *server) {
		measurements = append(measurements, at(s, ours))
		if beside == nil {
			measurements = append(measurements, at(s, peer))
		}
	}
	first(b.nexo)
	if b.otherNexo != nil {
		first(b.otherNexo)
	}
	if beside != nil {
		measurements = append(measurements, at(beside, peer))
	}
	results, err := alternate(b.rounds, measurements...)
	if err != nil {
		return nil, err
	}
	r := &race[T]{nexo: results[0]}
	if beside != nil {
		r.peer = results[len(results)-1]
		if b.otherNexo != nil {
			r.other, r.otherPeer = results[1], r.peer
		}
		return r, nil
	}
	r.peer = results[1]
	if b.otherNexo != nil {
		r.other, r.otherPeer = results[2], results[3]
	}
	return r, nil
}

// row makes a line of one of the values that the race gave.
func (r *race[T]) row(work string, value func(T) float64, format func(float64) string, limit bar) row {
	nexo, peer, other, otherPeer := pick(r.nexo, value), pick(r.peer, value), pick(r.other, value), pick(r.otherPeer, value)
	line := row{work: work, nexo: format(median(nexo)), peer: format(median(peer)), ratios: quotients(nexo, peer), bar: limit}
	if len(other) > 0 {
		line.other, line.otherRatios, line.gains = format(median(other)), quotients(other, otherPeer), quotients(nexo, other)
	}
	return line
}

func pick[T any](results []T, value func(T) float64) []float64 {
	var values []float64
	for _, result := range results {
		values = append(values, value(result))
	}
	return values
}

func itself(value float64) float64 { return value }

func quotients(a, b []float64) []float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return ratios
}

// median leaves the order of the values as it is: they belong to rounds.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
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

func milliseconds(value float64) string { return fmt.Sprintf("%.2f ms", value) }

func microseconds(value float64) string { return fmt.Sprintf("%.2f us", value) }

func kibibytes(bytes float64) string { return fmt.Sprintf("%.2f KiB", bytes/1024) }
