package main

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		bar    bar
		ratios []float64
		want   string
	}{
		{bar{}, []float64{1}, "-"},
		{atLeast(0.95), []float64{0.5, 0.95, 2}, "met"},
		{atLeast(0.95), []float64{0.5, 0.94, 2}, "**not met**"},
		{atMost(1.05), []float64{1.05}, "met"},
		{atMost(1.05), []float64{1.06}, "**not met**"},
		{below(2), []float64{1, 1.5, 2.5, 2.5}, "**not met**"}, // the median is 2
		{below(2), []float64{1, 1.4, 2.5, 2.5}, "met"},
		{belowInMost(2), []float64{1, 1, 9, 1, 1}, "met (4 of 5)"},
		{belowInMost(2), []float64{1, 1, 9, 1, 2}, "**not met** (3 of 5)"},
		{belowInMost(2), []float64{1, 1, 9}, "**not met** (2 of 3)"},
		{below(2), nil, "**not met**"},
		{atMost(2), []float64{1, math.NaN(), 1}, tooShort},
		{atLeast(2), []float64{3, math.Inf(1), 3}, tooShort},
	} {
		if got := test.bar.verdict(test.ratios); got != test.want {
			t.Errorf("%q of %v: %s, want %s", test.bar.text, test.ratios, got, test.want)
		}
	}
}

// TestRaceKeepsRoundsTogether makes every measurement take a number that depends on its round: a ratio of two rounds would not be 2.
func TestRaceKeepsRoundsTogether(t *testing.T) {
	var order []string
	measure := func(word string, times float64) func(*server) (float64, error) {
		rounds := map[*server]float64{}
		return func(s *server) (float64, error) {
			order = append(order, s.name+" "+word)
			rounds[s]++
			if s.name == "other" {
				return 4 * times * rounds[s], nil
			}
			return times * rounds[s], nil
		}
	}
	b := &bench{options: options{rounds: 2}, nexo: &server{name: "nexo"}, otherNexo: &server{name: "other"}}
	for _, test := range []struct {
		beside       *server
		order        string
		ratio, other float64
	}{
		{&server{name: "redis"}, "nexo a,other a,redis b,redis b,other a,nexo a", 2, 8},
		{nil, "nexo a,nexo b,other a,other b,other b,other a,nexo b,nexo a", 2, 2},
	} {
		order = nil
		r, err := runRace(b, measure("a", 2), measure("b", 1), test.beside)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(order, ","); got != test.order {
			t.Errorf("order %s, want %s", got, test.order)
		}
		line := r.row("work", itself, rate, atLeast(1))
		if want := []float64{test.ratio, test.ratio}; !slices.Equal(line.ratios, want) {
			t.Errorf("ratios %v, want %v", line.ratios, want)
		}
		if want := []float64{test.other, test.other}; !slices.Equal(line.otherRatios, want) {
			t.Errorf("ratios of the other %v, want %v", line.otherRatios, want)
		}
		if want := []float64{0.25, 0.25}; !slices.Equal(line.gains, want) {
			t.Errorf("gains %v, want %v", line.gains, want)
		}
	}
}

func TestMedianLeavesTheRoundsInOrder(t *testing.T) {
	values := []float64{3, 1, 2}
	if got := median(values); got != 2 || !slices.Equal(values, []float64{3, 1, 2}) {
		t.Errorf("median %v, and then %v", got, values)
	}
}

func TestProcessorTime(t *testing.T) {
	const stat = "4242 (a (b) c) S 1 4242 4242 0 -1 4194560 2209 0 0 0 150 50 7 3 20 0 9 0 8123 1815113728 6401"
	if got, err := parseProcessorTime(stat); err != nil || got != 2100*time.Millisecond {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseProcessorTime("4242 (a) S 1"); err == nil {
		t.Error("half a line was taken")
	}
}

func TestChoose(t *testing.T) {
	names := func(words ...string) (found []string, err error) {
		chosen, err := choose(words)
		for _, g := range chosen {
			found = append(found, g.name)
		}
		return found, err
	}
	if got, err := names("isolation", "set"); err != nil || !slices.Equal(got, []string{"flood", "beside-replay", "set"}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := names(); err != nil || len(got) != len(groups) {
		t.Errorf("%v, %v", got, err)
	}
	for _, wrong := range []string{"sets", "--quick"} {
		if _, err := names(wrong); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

func TestTablesWithoutBarsHaveNoColumnsForThem(t *testing.T) {
	r := &report{rows: []row{{work: "a key: memory", nexo: "160 B"}}}
	if got := r.table(); strings.Contains(got, "bar") || !strings.Contains(got, "| a key: memory | 160 B | - | - |\n") {
		t.Error(got)
	}
	r.add(row{work: "a start", nexo: "2 s", judged: []float64{2}, bar: below(1)})
	if got := r.table(); !strings.Contains(got, "| a start | 2 s | - | - | < 1 | **not met** |\n") {
		t.Error(got)
	}
}

func TestInsertReplacesTheTableOfAGroup(t *testing.T) {
	page := "a\n<!-- scripts/bench scale -->\nold\n<!-- end of scale -->\nb\n"
	got, err := insert(page, "scale", "new\n")
	if want := strings.Replace(page, "old", "new", 1); err != nil || got != want {
		t.Errorf("%q %v", got, err)
	}
	if again, err := insert(got, "scale", "new\n"); err != nil || again != got {
		t.Errorf("%q %v", again, err)
	}
	if _, err := insert(page, "sizing", "new\n"); err == nil {
		t.Error("a page without the marks was taken")
	}
}

// TestStallCountsForAllThatWereDue: of a wait of 100 ms in which the server worked, each command that was due meanwhile has its part.
func TestStallCountsForAllThatWereDue(t *testing.T) {
	began := time.Now().Add(-100 * time.Millisecond)
	var s stall
	s.add(began, 80*time.Millisecond)
	s.add(began.Add(50*time.Millisecond), time.Millisecond)
	s.add(time.Now().Add(time.Millisecond), time.Millisecond)
	if s.busy[0] != 80*time.Millisecond || s.busy[1] < 35*time.Millisecond || s.busy[1] > 45*time.Millisecond || s.busy[2] != time.Millisecond {
		t.Error(s.busy)
	}
}
