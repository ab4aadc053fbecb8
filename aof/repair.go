package aof

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// RepairOptions says how far Repair may go.
type RepairOptions struct {
	DryRun     bool // report only
	AcceptLoss bool // rebuild logs although records are lost
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
	for i := range report.Logs {
		log := &report.Logs[i]
		if log.Damage == nil {
			continue
		}
		s := salvage{log: offline(dir, log.Name), report: log}
		if err := s.prepare(); err != nil {
			return report, fmt.Errorf("repair log %s: %w", log.Name, err)
		}
		log.Records, log.Lost = 0, nil
		if err := s.each(func([]byte) error { log.Records++; return nil }); err != nil {
			return report, fmt.Errorf("repair log %s: %w", log.Name, err)
		}
		switch {
		case options.DryRun:
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

// salvage reads the valid records of a damaged log.
type salvage struct {
	log    *Log
	report *LogReport
	found  files
	counts bool // lost ranges have been noted
}

// prepare finds the log's id, without which no record can be told from garbage: in MANIFEST, else in the watermark or in a
// snapshot.
func (s *salvage) prepare() (err error) {
	l := s.log
	if s.found, err = listFiles(l.directory); err != nil {
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
	if mark, err := readWatermark(l.directory); err == nil {
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
	return errors.New("MANIFEST, WATERMARK and snapshots are all unreadable: nothing says which log the records belong to")
}

// each feeds the valid records in order: of the snapshot up to its damage, then of the generations, resynchronizing after
// each damage.
func (s *salvage) each(fn func(body []byte) error) error {
	l := s.log
	if l.manifest.snapshot != 0 {
		path := filepath.Join(l.directory, snapshotName(l.manifest.snapshot))
		_, _, err := readSnapshot(path, l.manifest.id, l.manifest.snapshot, fn)
		var d *damage
		switch {
		case errors.As(err, &d):
			s.lost(LostRange{FirstIndex: d.first})
		case isMissing(err):
			s.lost(LostRange{FirstIndex: 1})
		case err != nil:
			return err
		}
	}
	for _, generation := range l.manifest.generations {
		if err := s.generation(generation, fn); err != nil {
			return err
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
	if mark, err := readWatermark(s.log.directory); err == nil && mark.generation == generation && mark.index >= next {
		s.lost(LostRange{Generation: generation, FirstIndex: next, LastIndex: mark.index})
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
	if mark, err := readWatermark(l.directory); err == nil {
		next = max(next, mark.generation)
	}
	next++
	path := filepath.Join(l.directory, snapshotName(next))
	if _, err := writeSnapshot(path, l.manifest.id, next, s.each); err != nil {
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
	// Its bytes stay in quarantine under the second name; the next start must make a file of its own.
	if err := os.Remove(filepath.Join(l.directory, watermarkName)); err != nil && !isMissing(err) {
		return err
	}
	s.report.Quarantine = kept
	return syncDirectory(l.directory)
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
	if s.found.watermark {
		paths = append(paths, watermarkName)
	}
	for _, path := range paths {
		if err := os.Link(filepath.Join(l.directory, path), filepath.Join(kept, path)); err != nil {
			return "", fmt.Errorf("quarantine: %w", err)
		}
	}
	return kept, s.syncQuarantine(kept)
}

// syncQuarantine makes the second names durable, before the first ones are removed.
func (s *salvage) syncQuarantine(kept string) error {
	var directories []string
	for _, generation := range s.found.generations {
		directories = append(directories, filepath.Join(kept, generationName(generation)))
	}
	for _, directory := range append(directories, kept, filepath.Dir(kept), s.log.directory) {
		if err := syncDirectory(directory); err != nil {
			return fmt.Errorf("quarantine: %w", err)
		}
	}
	return nil
}
