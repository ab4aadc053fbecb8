package aof

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// RepairOptions says how far Repair may go.
type RepairOptions struct {
	DryRun     bool // report only
	AcceptLoss bool // rebuild logs although records are lost

	Salvagers map[string]func() Salvager // by name of the log; may be nil
}

// Repair rebuilds the damaged logs of a data directory from all their valid records. The caller holds the directory's
// lock. Logs that would start are left alone.
//
// Nothing is changed in place. The valid records become a snapshot in a new generation; the old files are linked into
// quarantine/; the new MANIFEST is the step that counts; only then are the old names removed. A crash before the MANIFEST
// leaves the damaged log as it was (with files that a later repair writes again), a crash after it the repaired one.
func Repair(dir string, options RepairOptions) (Report, error) {
	report, err := Check(dir)
	if err != nil {
		return report, err
	}
	if report.List != nil && !options.DryRun {
		if !options.AcceptLoss {
			return report, ErrLossNotAccepted
		}
		if err := repairList(dir, report.Logs); err != nil {
			return report, err
		}
		report.Repaired = true
	}
	for i := range report.Logs {
		log := &report.Logs[i]
		s := salvage{log: offline(dir, log.Name), report: log}
		if err := s.survey(options.Salvagers[log.Name]); err != nil {
			return report, fmt.Errorf("repair log %s: %w", log.Name, err)
		}
		switch {
		case log.Damage == nil || options.DryRun:
			continue
		case !options.AcceptLoss:
			return report, ErrLossNotAccepted
		}
		if err := s.rebuild(); err != nil {
			return report, fmt.Errorf("repair log %s: %w", log.Name, err)
		}
		report.Repaired = true
	}
	return report, nil
}

// survey finds out what a repair keeps and loses. A log that is whole in itself may still contradict what stands beside it.
func (s *salvage) survey(makeSalvager func() Salvager) error {
	log := s.report
	if log.Damage == nil && makeSalvager == nil {
		return nil
	}
	if err := s.prepare(); log.Damage == nil && errors.Is(err, errUnknownLog) {
		return nil // it was being made: no record was ever in it
	} else if err != nil {
		return err
	}
	var salvager Salvager
	if makeSalvager != nil {
		salvager = makeSalvager()
	}
	log.Records, log.Lost = 0, nil
	if err := s.each(func(body []byte) error {
		log.Records++
		if salvager == nil {
			return nil
		}
		return salvager.Keep(body)
	}); err != nil {
		return err
	}
	if salvager == nil {
		return nil
	}
	ofSnapshot := func(r LostRange) bool { return r.Snapshot != 0 }
	found, err := salvager.Finish(len(log.Lost) > 0, slices.ContainsFunc(log.Lost, ofSnapshot))
	if err != nil {
		return err
	}
	s.findings = found
	if log.Damage == nil {
		log.Damage = found.Damage
	}
	if log.Damage != nil {
		log.Kept = found.Kept
	}
	return nil
}

// salvage reads the valid records of a damaged log.
type salvage struct {
	log    *Log
	report *LogReport
	found  files
	counts bool // lost ranges have been noted

	findings Findings
	beside   string // where their files are linked
}

// prepare finds the log's id, without which no record can be told from garbage: in MANIFEST, else in the watermark or in a
// snapshot.
func (s *salvage) prepare() (err error) {
	l := s.log
	if s.found, err = listFiles(l.directory); err != nil && !isMissing(err) {
		return err
	}
	if err := l.readListed(); err != nil && !isDamage(err) {
		return err
	}
	if l.manifest, err = loadManifest(l.directory); err == nil {
		// Generations that it does not know have data of a later MANIFEST.
		for _, generation := range s.found.generations {
			if generation > l.manifest.last() {
				l.manifest.generations = append(l.manifest.generations, generation)
			}
		}
		return nil
	}
	l.manifest = manifest{}
	if n := len(s.found.snapshots); n > 0 {
		l.manifest.snapshot = s.found.snapshots[n-1]
	}
	// What the snapshot has replaced must not come back behind it, although a compaction may not have removed it yet.
	for _, generation := range s.found.generations {
		if generation >= l.manifest.snapshot {
			l.manifest.generations = append(l.manifest.generations, generation)
		}
	}
	if mark, _, err := readWatermark(l.options.Dir, l.options.Name); err == nil {
		l.manifest.id = mark.id
		return nil
	}
	for _, snapshot := range s.found.snapshots {
		file, err := os.Open(filepath.Join(l.directory, snapshotName(snapshot)))
		if err != nil {
			return err
		}
		header := make([]byte, snapshotHeaderBytes)
		_, err = file.Read(header)
		file.Close()
		if id, _, ok := decodeSnapshotHeader(header); err == nil && ok {
			l.manifest.id = id
			return nil
		}
	}
	if l.isListed {
		l.manifest.id = l.listed.id
		return nil
	}
	return errUnknownLog
}

var errUnknownLog = errors.New("MANIFEST, WATERMARK, LOGS and snapshots are all unreadable: nothing says which log the records belong to")

// each feeds the valid records in order, of the snapshot, then of the generations, resynchronizing after each damage.
func (s *salvage) each(fn func(body []byte) error) error {
	l := s.log
	if l.manifest.snapshot != 0 {
		path := filepath.Join(l.directory, snapshotName(l.manifest.snapshot))
		err := salvageSnapshot(path, l.manifest.id, l.manifest.snapshot, fn, func(first, last uint64) {
			s.lost(LostRange{Snapshot: l.manifest.snapshot, FirstIndex: first, LastIndex: last})
		})
		if isMissing(err) {
			s.lost(LostRange{Snapshot: l.manifest.snapshot, FirstIndex: 1})
		} else if err != nil {
			return err
		}
	}
	for _, generation := range l.manifest.generations {
		if err := s.generation(generation, fn); err != nil {
			return err
		}
	}
	told := slices.Clone(l.manifest.generations)
	for _, claim := range s.claims() {
		later := claim.generation > l.manifest.lastGeneration()
		if (later || claim.id != l.manifest.id) && !slices.Contains(told, claim.generation) {
			s.lost(LostRange{Generation: claim.generation, FirstIndex: 1})
			told = append(told, claim.generation)
		}
	}
	s.counts = true
	return nil
}

func (s *salvage) lost(r LostRange) {
	if !s.counts {
		s.report.Lost = append(s.report.Lost, r)
	}
}

// claims are what WATERMARK and LOGS say was on disk.
func (s *salvage) claims() (claims []watermark) {
	l := s.log
	if mark, _, err := readWatermark(l.options.Dir, l.options.Name); err == nil {
		claims = append(claims, mark)
	}
	if l.isListed {
		claims = append(claims, watermark{id: l.listed.id, generation: l.listed.generation, index: l.listed.index})
	}
	return claims
}

// generation feeds the valid records of one generation, passing over what is damaged or missing.
func (s *salvage) generation(generation uint64, fn func(body []byte) error) error {
	directory := filepath.Join(s.log.directory, generationName(generation))
	entries, err := os.ReadDir(directory)
	if isMissing(err) {
		s.lost(LostRange{Generation: generation, FirstIndex: 1})
		return nil
	}
	if err != nil {
		return err
	}
	seed := seedOf(s.log.manifest.id, generation)
	next := uint64(1)
	for _, entry := range entries {
		first, err := strconv.ParseUint(entry.Name(), 10, 64)
		if err != nil || !entry.Type().IsRegular() {
			continue
		}
		bytes, err := os.ReadFile(filepath.Join(directory, entry.Name()))
		if err != nil {
			return err
		}
		for {
			// The name says where the segment starts: what is lost before it may be far more than its own size.
			f, offset, length, found := resync(bytes, seed, max(next, first))
			if !found {
				break
			}
			if f.index > next {
				s.lost(LostRange{Generation: generation, FirstIndex: next, LastIndex: f.index - 1})
			}
			if _, err := f.records(fn); err != nil {
				return err
			}
			next = f.index + 1
			bytes = bytes[offset+length:]
		}
	}
	synced := uint64(0)
	for _, claim := range s.claims() {
		if claim.generation == generation && claim.id == s.log.manifest.id {
			synced = max(synced, claim.index)
		}
	}
	if synced >= next {
		s.lost(LostRange{Generation: generation, FirstIndex: next, LastIndex: synced})
	}
	return nil
}

// rebuild writes what is valid as a new generation and makes it the truth.
func (s *salvage) rebuild() error {
	l := s.log
	next := l.manifest.snapshot
	for _, generation := range append(s.found.generations, s.found.snapshots...) {
		next = max(next, generation)
	}
	for _, claim := range s.claims() {
		next = max(next, claim.generation)
	}
	next++
	if err := os.MkdirAll(l.directory, 0o700); err != nil {
		return err
	}
	path := filepath.Join(l.directory, snapshotName(next))
	_, err := writeSnapshot(path, l.manifest.id, next, func(emit func(body []byte) error) error {
		for _, body := range s.findings.First {
			if err := emit(body); err != nil {
				return err
			}
		}
		err := s.each(func(body []byte) error {
			if skip := s.findings.Skip; skip != nil && skip(body) {
				return nil
			}
			return emit(body)
		})
		for i := 0; i < len(s.findings.Last) && err == nil; i++ {
			err = emit(s.findings.Last[i])
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := makeGeneration(l.directory, next); err != nil {
		return err
	}
	kept, err := s.quarantine()
	if err != nil {
		return err
	}
	if _, err := writeManifest(l.directory, manifest{id: l.manifest.id, snapshot: next, generations: []uint64{next}}); err != nil {
		return err
	}
	if err := s.removeReplaced(); err != nil {
		return err
	}
	s.report.Quarantine = kept
	for _, path := range s.findings.Aside {
		if err := os.Remove(path); err != nil && !isMissing(err) {
			return err
		}
	}
	if err := syncDirectory(l.directory); err != nil {
		return err
	}
	return s.list(next)
}

// removeReplaced removes what the new generation stands for, and the watermarks beside the log.
func (s *salvage) removeReplaced() error {
	l := s.log
	for _, generation := range s.found.generations {
		if err := os.RemoveAll(filepath.Join(l.directory, generationName(generation))); err != nil {
			return err
		}
	}
	for _, snapshot := range s.found.snapshots {
		if err := os.Remove(filepath.Join(l.directory, snapshotName(snapshot))); err != nil {
			return err
		}
	}
	// What was claimed of the damaged log is in quarantine, and is nothing to hold the repaired one against.
	for _, path := range s.watermarks() {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// repairList puts a LOGS that cannot be read aside and writes it anew from the logs that are there. What it said of others
// is lost: of those nobody is told that they are missing.
func repairList(dir string, logs []LogReport) error {
	path := filepath.Join(dir, listName)
	if err := os.Rename(path, fmt.Sprintf("%s.damaged-%d", path, time.Now().UnixNano())); err != nil {
		return err
	}
	var list logList
	for _, log := range logs {
		if m, err := loadManifest(logDirectory(dir, log.Name)); err == nil {
			list = list.with(listed{name: log.Name, id: m.id, generation: m.last()})
		}
	}
	return writeList(dir, list)
}

// list puts the repaired log into LOGS.
func (s *salvage) list(generation uint64) error {
	l := s.log
	list, err := readList(l.options.Dir)
	if err != nil {
		return err
	}
	return writeList(l.options.Dir, list.with(listed{name: l.options.Name, id: l.manifest.id, generation: generation}))
}

// watermarks are the files that claim something about the log.
func (s *salvage) watermarks() (paths []string) {
	dir, name := s.log.options.Dir, s.log.options.Name
	for _, path := range []string{watermarkPath(dir, name), innerWatermarkPath(dir, name)} {
		if _, err := os.Stat(path); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// quarantine links the old files into a directory of their own: the same bytes under a second name.
func (s *salvage) quarantine() (kept string, err error) {
	l := s.log
	kept = filepath.Join(l.directory, quarantineName, "repair-"+strconv.FormatInt(time.Now().UnixNano(), 10))
	if err := os.MkdirAll(kept, 0o700); err != nil {
		return "", err
	}
	var paths []string
	for _, snapshot := range s.found.snapshots {
		paths = append(paths, snapshotName(snapshot))
	}
	for _, generation := range s.found.generations {
		name := generationName(generation)
		if err := os.MkdirAll(filepath.Join(kept, name), 0o700); err != nil {
			return "", err
		}
		entries, err := os.ReadDir(filepath.Join(l.directory, name))
		if err != nil {
			return "", err
		}
		for _, entry := range entries {
			if entry.Type().IsRegular() {
				paths = append(paths, filepath.Join(name, entry.Name()))
			}
		}
	}
	if s.found.manifest {
		paths = append(paths, manifestName)
	}
	for _, path := range s.watermarks() { // copied: the log's directory may be on another file system
		bytes, err := os.ReadFile(path)
		if err == nil {
			err = writeFileSynced(filepath.Join(kept, filepath.Base(path)), bytes)
		}
		if err != nil {
			return "", fmt.Errorf("quarantine: %w", err)
		}
	}
	for _, path := range paths {
		if err := os.Link(filepath.Join(l.directory, path), filepath.Join(kept, path)); err != nil {
			return "", fmt.Errorf("quarantine: %w", err)
		}
	}
	for _, path := range s.findings.Files {
		directory := filepath.Join(kept, filepath.Base(filepath.Dir(path)))
		if err := os.MkdirAll(directory, 0o700); err != nil {
			return "", err
		}
		if err := os.Link(path, filepath.Join(directory, filepath.Base(path))); err != nil {
			return "", fmt.Errorf("quarantine: %w", err)
		}
		s.beside = directory
	}
	return kept, s.syncQuarantine(kept)
}

// syncQuarantine makes the second names durable, before the first ones are removed.
func (s *salvage) syncQuarantine(kept string) error {
	var directories []string
	for _, generation := range s.found.generations {
		directories = append(directories, filepath.Join(kept, generationName(generation)))
	}
	if s.beside != "" {
		directories = append(directories, s.beside)
	}
	for _, directory := range append(directories, kept, filepath.Dir(kept), s.log.directory) {
		if err := syncDirectory(directory); err != nil {
			return fmt.Errorf("quarantine: %w", err)
		}
	}
	return nil
}
