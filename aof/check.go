package aof

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// LogReport is what Check or Repair found in one log.
type LogReport struct {
	Name        string
	Generations []uint64
	Records     uint64 // valid ones that a start would replay; after a repair, those kept
	Bytes       int64
	Torn        string // the unfinished write that a start will cut, "" when there is none
	Damage      error  // why a start would refuse, nil when it would not
	Lost        []LostRange
	Kept        []string // of a damaged log: what the kept records hold, by name
	Quarantine  string   // where Repair has put the old files
}

// LostRange is a run of frames that cannot be read any more.
type LostRange struct {
	Generation uint64 // 0: of a snapshot
	Snapshot   uint64 // its number
	FirstIndex uint64
	LastIndex  uint64 // 0: up to the end
}

// Report is what Check or Repair found in a data directory.
type Report struct {
	Logs     []LogReport
	List     error // why LOGS cannot be read, nil when it can, or there is none
	Repaired bool  // files were changed
}

// Damaged tells whether a start would refuse one of the logs.
func (r Report) Damaged() bool {
	for _, log := range r.Logs {
		if log.Damage != nil {
			return true
		}
	}
	return r.List != nil
}

func (r Report) String() string {
	var text strings.Builder
	for _, log := range r.Logs {
		fmt.Fprintf(&text, "%s: %d records in %d bytes, generations %v", log.Name, log.Records, log.Bytes, log.Generations)
		if log.Damage == nil && log.Torn == "" {
			text.WriteString(": good")
		}
		text.WriteString("\n")
		if log.Torn != "" {
			fmt.Fprintf(&text, "  unfinished write at the end, cut at the next start: %s\n", log.Torn)
		}
		if log.Damage != nil {
			fmt.Fprintf(&text, "  damaged: %v\n", log.Damage)
		}
		for _, lost := range log.Lost {
			text.WriteString("  lost: " + lost.String() + "\n")
		}
		for _, kept := range log.Kept {
			text.WriteString("  kept: " + kept + "\n")
		}
		if log.Quarantine != "" {
			fmt.Fprintf(&text, "  repaired with the %d records that are valid; the old files are in %s\n", log.Records, log.Quarantine)
		}
	}
	if r.List != nil {
		fmt.Fprintf(&text, "%s\n  damaged: %v; a repair writes it anew from the logs that are there\n", listName, r.List)
	}
	if len(r.Logs) == 0 {
		text.WriteString("no logs found\n")
	}
	return text.String()
}

func (l LostRange) String() string {
	where := generationName(l.Generation)
	if l.Generation == 0 {
		where = "the snapshot " + snapshotName(l.Snapshot)
	}
	if l.LastIndex == 0 {
		return fmt.Sprintf("frames %d and after of %s", l.FirstIndex, where)
	}
	return fmt.Sprintf("frames %d to %d of %s", l.FirstIndex, l.LastIndex, where)
}

// Check reads every log of a data directory as a start would, and changes nothing. A log that damage keeps from starting
// is in the report; an error is returned when the files cannot be read.
func Check(dir string) (Report, error) {
	names, err := logNames(dir)
	if err != nil {
		return Report{}, err
	}
	var report Report
	if _, err := readList(dir); isDamage(err) {
		report.List = err
	}
	for _, name := range names {
		log, err := checkLog(dir, name)
		if err != nil {
			return report, fmt.Errorf("check log %s: %w", name, err)
		}
		report.Logs = append(report.Logs, log)
	}
	return report, nil
}

// logNames are the logs of which there are files in dir.
func logNames(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if name, isMark := strings.CutPrefix(entry.Name(), watermarkName+"-"); isMark && isLogName(name) && !slices.Contains(names, name) {
			names = append(names, name) // also when nothing else is left of it
		}
		if !entry.IsDir() || slices.Contains(names, entry.Name()) {
			continue
		}
		found, err := listFiles(logDirectory(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		if !found.empty() {
			names = append(names, entry.Name())
		}
	}
	list, err := readList(dir)
	if err != nil && !isDamage(err) {
		return nil, err // a damaged one names nothing, and is told of with each log
	}
	for _, entry := range list {
		if !slices.Contains(names, entry.name) {
			names = append(names, entry.name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// offline is a Log that only reads.
func offline(dir, name string) *Log {
	l := &Log{options: Options{Dir: dir, Name: name}, directory: logDirectory(dir, name), logger: slog.New(slog.DiscardHandler)}
	l.seams.step = func(string) {}
	return l
}

func checkLog(dir, name string) (LogReport, error) {
	l := offline(dir, name)
	report := LogReport{Name: name}
	found, err := listFiles(l.directory)
	if err != nil && !isMissing(err) {
		return report, err
	}
	report.Generations = found.generations
	err = l.verify(found, &report)
	var d *damage
	if errors.As(err, &d) {
		report.Damage = l.corrupt(err, report.lastGeneration())
		return report, nil
	}
	return report, err
}

func (r *LogReport) lastGeneration() uint64 {
	if len(r.Generations) == 0 {
		return 0
	}
	return r.Generations[len(r.Generations)-1]
}

// verify reads what a start would read, in the same order.
func (l *Log) verify(found files, report *LogReport) (err error) {
	if err := l.readListed(); err != nil && !isDamage(err) {
		return err
	}
	if l.isListed {
		if err := l.checkPresent(); err != nil {
			return err
		}
	}
	if !found.manifest {
		return l.checkNew(found)
	}
	if l.manifest, err = loadManifest(l.directory); err != nil {
		return err
	}
	report.Generations = l.manifest.generations
	if err := l.checkListed(); err != nil {
		return err
	}
	mark, err := l.claim()
	if err != nil {
		return err
	}
	if err := l.checkUnnamed(found); err != nil {
		return err
	}
	if report.Records, err = l.checkSnapshot(); err != nil {
		return err
	}
	for _, generation := range l.manifest.generations {
		scan, err := l.scanner(generation, mark, nil).scan(filepath.Join(l.directory, generationName(generation)))
		report.Records += scan.records
		report.Bytes += scan.bytes
		var d *damage
		if errors.As(err, &d) && d.torn {
			report.Torn = d.Error()
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
