package aof

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

const quarantineName = "quarantine"

func logDirectory(dir, name string) string { return filepath.Join(dir, name) }

// files is what stands in a log's directory.
type files struct {
	manifest    bool
	watermark   bool // of an earlier version
	snapshots   []uint64
	generations []uint64
	leftovers   []string // unfinished files of ours
	strange     []string // not ours: warned about, never touched
}

func listFiles(directory string) (files, error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return files{}, err
	}
	var found files
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case name == manifestName:
			found.manifest = true
		case name == watermarkName:
			found.watermark = true
		case name == ballastName, name == reserveName, name == quarantineName:
		case numberOf("wal-", name) != 0 && entry.IsDir():
			found.generations = append(found.generations, numberOf("wal-", name))
		case numberOf("snap-", name) != 0:
			found.snapshots = append(found.snapshots, numberOf("snap-", name))
		case name == manifestName+".tmp", numberOf("snap-", strings.TrimSuffix(name, ".tmp")) != 0:
			found.leftovers = append(found.leftovers, name)
		default:
			found.strange = append(found.strange, name)
		}
	}
	sort.Slice(found.generations, func(i, k int) bool { return found.generations[i] < found.generations[k] })
	sort.Slice(found.snapshots, func(i, k int) bool { return found.snapshots[i] < found.snapshots[k] })
	return found, nil
}

// generationSize is how many bytes the segments of a generation have.
func generationSize(directory string) (int64, error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return 0, err
	}
	var size int64
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return 0, err
		}
		size += info.Size()
	}
	return size, nil
}

// inspection is what Start needs of what Inspect has found.
type inspection struct {
	found files
	isNew bool           // there is no log yet
	last  generationScan // of the last generation
	torn  *damage        // its unfinished end, nil when it has none
}

// inspect reads everything, and changes nothing.
func (l *Log) inspect() (i inspection, err error) {
	if err := l.readListed(); err != nil {
		return i, l.corrupt(err, 0)
	}
	if l.isListed {
		// Nothing is made in the place of a log that is lost.
		if err := l.checkPresent(); err != nil {
			return i, l.corrupt(err, 0)
		}
	}
	if i.found, err = listFiles(l.directory); err != nil && !isMissing(err) {
		return i, err
	}
	for _, name := range i.found.strange {
		l.logger.Warn("file in the log's directory is not ours and is left alone", "file", name)
	}
	if i.isNew = !i.found.manifest; i.isNew {
		return i, l.corrupt(l.checkNew(i.found), 0)
	}
	if l.manifest, err = loadManifest(l.directory); err == nil {
		err = l.checkListed()
	}
	if err != nil {
		return i, l.corrupt(err, 0)
	}
	return i, l.inspectFiles(&i)
}

// start makes whole what inspect has found and leaves the writer ready to append.
func (l *Log) start(i inspection) error {
	if i.isNew {
		if err := l.create(); err != nil {
			return err
		}
		if err := l.inspectFiles(&i); err != nil {
			return err
		}
	}
	if err := l.withRoom(func() error { return l.heal(i.last, i.torn) }); err != nil {
		return err
	}
	l.removeUnnamed(i.found)
	return l.startWriter(i.last)
}

// checkPresent is for a log that is listed: it has a MANIFEST, or is lost.
func (l *Log) checkPresent() error {
	found, err := listFiles(l.directory)
	switch {
	case isMissing(err), err == nil && found.empty():
		return &damage{file: l.directory, last: l.listed.index, cause: errLost}
	case err != nil:
		return err
	case !found.manifest:
		return &damage{file: filepath.Join(l.directory, manifestName), cause: errMissingFile}
	}
	return nil
}

// empty tells that nothing of a log is there.
func (f files) empty() bool {
	return !f.manifest && !f.watermark && len(f.generations) == 0 && len(f.snapshots) == 0
}

func loadManifest(directory string) (manifest, error) {
	path := filepath.Join(directory, manifestName)
	bytes, err := os.ReadFile(path)
	if err != nil {
		return manifest{}, err
	}
	m, err := decodeManifest(bytes)
	if err != nil {
		return manifest{}, &damage{file: path, cause: err}
	}
	return m, nil
}

// checkNew is for a directory without MANIFEST: a byte of data there is a loss that must not pass for a new log.
func (l *Log) checkNew(found files) error {
	missing := &damage{file: filepath.Join(l.directory, manifestName), cause: errMissingFile}
	switch _, _, err := readWatermark(l.options.Dir, l.options.Name); {
	case err == nil, errors.Is(err, errWatermark), len(found.snapshots) > 0:
		return missing
	case !isMissing(err):
		return err
	}
	for _, generation := range found.generations {
		size, err := generationSize(filepath.Join(l.directory, generationName(generation)))
		if err != nil {
			return err
		}
		if size > 0 || generation != 1 {
			return missing
		}
	}
	return nil
}

// create makes a new log. MANIFEST comes last: a crash before it leaves nothing but empty files, which the next start
// takes for a new log again.
func (l *Log) create() error {
	if err := os.MkdirAll(l.directory, 0o700); err != nil {
		return err
	}
	if err := syncDirectory(l.options.Dir); err != nil {
		return err
	}
	if _, err := rand.Read(l.manifest.id[:]); err != nil {
		return err
	}
	l.manifest.generations = []uint64{1}
	if err := makeGeneration(l.directory, 1); err != nil {
		return err
	}
	l.seams.step("create: generation made")
	_, err := writeManifest(l.directory, l.manifest)
	l.seams.step("create: manifest written")
	return err
}

// makeGeneration makes the directory of a generation with its empty first segment, durably.
func makeGeneration(directory string, generation uint64) error {
	path := filepath.Join(directory, generationName(generation))
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	if err := writeFileSynced(filepath.Join(path, segmentName(1)), nil); err != nil {
		return err
	}
	if err := syncDirectory(path); err != nil {
		return err
	}
	return syncDirectory(directory)
}

// inspectFiles reads everything that MANIFEST names.
func (l *Log) inspectFiles(i *inspection) error {
	mark, err := l.claim()
	if err != nil {
		return l.corrupt(err, 0)
	}
	if err := l.checkUnnamed(i.found); err != nil {
		return l.corrupt(err, 0)
	}
	var bytes int64
	before, err := l.checkSnapshot()
	if err != nil {
		return l.corrupt(err, 0)
	}
	for _, generation := range l.manifest.generations {
		isLast := generation == l.manifest.last()
		s := l.scanner(generation, mark, nil)
		scan, err := s.scan(filepath.Join(l.directory, generationName(generation)))
		if err != nil && !(errors.As(err, &i.torn) && i.torn.torn) {
			var d *damage
			if errors.As(err, &d) {
				d.before += before
			}
			return l.corrupt(err, generation)
		}
		before += scan.records
		bytes += scan.bytes
		if isLast {
			i.last = scan
		}
	}
	l.logBytes.Store(bytes)
	return nil
}

// claim is the watermark, as far as it has something to say about this log.
func (l *Log) claim() (watermark, error) {
	mark, path, err := readWatermark(l.options.Dir, l.options.Name)
	switch {
	case isMissing(err):
		return watermark{}, nil // a crash came between the first MANIFEST and it
	case errors.Is(err, errWatermark):
		l.logger.Warn("watermark cannot be read; a lost end of the log would not be noticed", "file", path)
		return watermark{}, nil
	case err != nil:
		return watermark{}, err
	case mark.id != l.manifest.id:
		return watermark{}, &damage{file: path, cause: errors.New("it belongs to another log")}
	case mark.generation > l.manifest.last():
		return watermark{}, &damage{file: filepath.Join(l.directory, manifestName), cause: errOldManifest}
	}
	return mark, nil
}

// checkUnnamed refuses when a generation that MANIFEST does not know has data: then it is not the last MANIFEST.
func (l *Log) checkUnnamed(found files) error {
	for _, generation := range found.generations {
		if generation <= l.manifest.last() {
			continue
		}
		size, err := generationSize(filepath.Join(l.directory, generationName(generation)))
		if err != nil {
			return err
		}
		if size > 0 {
			return &damage{file: filepath.Join(l.directory, manifestName), cause: errOldManifest}
		}
	}
	return nil
}

func (l *Log) checkSnapshot() (records uint64, err error) {
	if l.manifest.snapshot == 0 {
		return 0, nil
	}
	path := filepath.Join(l.directory, snapshotName(l.manifest.snapshot))
	records, err = l.loadSnapshot(path, func([]byte) error { return nil })
	if isMissing(err) {
		err = &damage{file: path, cause: errMissingFile}
	}
	return records, err
}

// loadSnapshot feeds the records of a snapshot and tells Options.Loading of its bytes.
func (l *Log) loadSnapshot(path string, fn func(body []byte) error) (records uint64, err error) {
	var told int64
	records, size, err := readSnapshot(path, l.manifest.id, l.manifest.snapshot, func(body []byte) error {
		if err := fn(body); err != nil {
			return err
		}
		told += int64(len(body))
		return l.loaded(int64(len(body)))
	})
	l.snapshotBytes.Store(size)
	if err != nil {
		return records, err
	}
	return records, l.loaded(size - told) // what the file has around its records
}

func (l *Log) scanner(generation uint64, mark watermark, visit func(body []byte) error) *scanner {
	s := &scanner{
		seed:   seedOf(l.manifest.id, generation),
		visit:  visit,
		loaded: l.loaded,
		isLast: generation == l.manifest.last(),
	}
	if mark.generation == generation {
		s.synced = mark.index
	}
	if l.isListed && l.listed.generation == generation {
		s.synced = max(s.synced, l.listed.index)
	}
	return s
}

// corrupt turns damage into the error that says what to do about it, and leaves other errors alone.
func (l *Log) corrupt(err error, generation uint64) error {
	var d *damage
	if !errors.As(err, &d) {
		return err
	}
	return &CorruptionError{
		File: d.file, Offset: d.offset, Generation: generation, FirstIndex: d.first, LastIndex: d.last,
		Before: d.before, After: d.after, Reason: d.cause.Error(),
		Repair: "nexo repair " + l.options.Dir,
	}
}

// heal cuts a torn end and, unless the last life ended cleanly, rewrites the last segment: after a crash the page cache
// may show bytes that an fsync has failed to store, and what is served must really be on disk. Earlier segments were
// fsynced before their successor was created.
func (l *Log) heal(last generationScan, torn *damage) error {
	if last.clean && torn == nil {
		return nil
	}
	path := last.segments[len(last.segments)-1].path
	bytes, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if torn != nil {
		if err := l.quarantine(path, bytes[last.tail:], last.tail); err != nil {
			return err
		}
		l.logger.Warn("unfinished write cut from the end of the log", "file", path, "offset", last.tail,
			"bytes", int64(len(bytes))-last.tail, "index", torn.first, "reason", torn.cause.Error())
	}
	err = writeFileSynced(path+copySuffix, bytes[:last.tail])
	if err != nil {
		os.Remove(path + copySuffix)
	}
	if isOutOfSpace(err) {
		// The same bytes over themselves need no room, and a crash among them leaves each as it was or as it should be.
		if err := writeOver(path, bytes[:last.tail]); err != nil {
			return fmt.Errorf("write last segment over itself: %w", err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("rewrite last segment: %w", err)
	}
	l.seams.step("heal: segment copied")
	if err := os.Rename(path+copySuffix, path); err != nil {
		return fmt.Errorf("rewrite last segment: %w", err)
	}
	return syncDirectory(filepath.Dir(path))
}

// writeOver gives the kernel the bytes that a file has anew, so that they are dirty again, cuts what is behind them and
// fsyncs.
func writeOver(path string, bytes []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(bytes, 0)
	if err == nil {
		err = file.Truncate(int64(len(bytes)))
	}
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// quarantine keeps bytes that are cut from the log.
func (l *Log) quarantine(path string, bytes []byte, offset int64) error {
	directory := filepath.Join(l.directory, quarantineName)
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	name := fmt.Sprintf("%s-%s-%d-%d", filepath.Base(filepath.Dir(path)), filepath.Base(path), offset, time.Now().UnixNano())
	if err := writeFileSynced(filepath.Join(directory, name), bytes); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	return syncDirectory(directory)
}

// removeUnnamed removes what a compaction left behind: older than MANIFEST, or newer and without data. What cannot be
// removed is removed another time.
func (l *Log) removeUnnamed(found files) {
	var paths []string
	for _, generation := range found.generations {
		if generation < l.manifest.generations[0] || generation > l.manifest.last() {
			paths = append(paths, generationName(generation))
		}
	}
	for _, snapshot := range found.snapshots {
		if snapshot != l.manifest.snapshot {
			paths = append(paths, snapshotName(snapshot))
		}
	}
	paths = append(paths, found.leftovers...)
	for _, generation := range l.manifest.generations {
		copies, _ := filepath.Glob(filepath.Join(l.directory, generationName(generation), "*"+copySuffix))
		for _, path := range copies {
			paths = append(paths, filepath.Join(generationName(generation), filepath.Base(path)))
		}
	}
	for _, path := range paths {
		l.logger.Info("removing what an interrupted compaction or recovery left", "file", path)
		if err := os.RemoveAll(filepath.Join(l.directory, path)); err != nil {
			l.logger.Warn("cannot remove it", "error", err)
		}
	}
}

func (l *Log) startWriter(last generationScan) error {
	w := &l.writer
	w.id, w.generation = l.manifest.id, l.manifest.last()
	w.seed = seedOf(w.id, w.generation)
	w.index, w.durable = last.lastIndex, last.lastIndex
	w.tailFirst, w.tailBytes = last.segments[len(last.segments)-1].first, last.tail
	err := l.withRoom(func() (err error) {
		w.watermark, err = createWatermark(l.options.Dir, l.options.Name, watermark{id: w.id, generation: w.generation, index: w.durable})
		return err
	})
	if err != nil {
		return fmt.Errorf("write watermark: %w", err)
	}
	if err = w.openReserves(); err == nil {
		w.wal, err = w.openWAL(w.directory())
	}
	if err == nil {
		err = w.remember(w.generation, w.durable)
	}
	if err != nil {
		w.watermark.Close()
	}
	return err
}

// replay reads again what Inspect has verified, and feeds it.
func (l *Log) replay(fn func(body []byte) error) error {
	if l.manifest.snapshot != 0 {
		path := filepath.Join(l.directory, snapshotName(l.manifest.snapshot))
		if _, err := l.loadSnapshot(path, fn); err != nil {
			return l.corrupt(err, 0)
		}
	}
	for _, generation := range l.manifest.generations {
		s := l.scanner(generation, watermark{}, fn)
		if _, err := s.scan(filepath.Join(l.directory, generationName(generation))); err != nil {
			return l.corrupt(err, generation)
		}
	}
	return nil
}

// SizeToLoad is how many bytes of a log's files Inspect and Replay will load. What a crash has left beside them is counted too; a log
// that does not exist yet has none.
func SizeToLoad(dir, name string) (bytes int64, err error) {
	directory := logDirectory(dir, name)
	found, err := listFiles(directory)
	if isMissing(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for _, snapshot := range found.snapshots {
		info, err := os.Stat(filepath.Join(directory, snapshotName(snapshot)))
		if err != nil {
			return 0, err
		}
		bytes += info.Size()
	}
	for _, generation := range found.generations {
		size, err := generationSize(filepath.Join(directory, generationName(generation)))
		if err != nil {
			return 0, err
		}
		bytes += size
	}
	return bytes, nil
}
