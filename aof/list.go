package aof

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const listName = "LOGS"

// listed is what the list of a data directory says of one log: which one it is, and a place up to which it was on disk
// when the list was written.
type listed struct {
	name       string
	id         logID
	generation uint64
	index      uint64
}

// logList is the list of logs, by name.
type logList []listed

func (l logList) find(name string) (listed, bool) {
	for _, entry := range l {
		if entry.name == name {
			return entry, true
		}
	}
	return listed{}, false
}

// with is the list with one entry put in its place.
func (l logList) with(entry listed) logList {
	next := slices.DeleteFunc(slices.Clone(l), func(other listed) bool { return other.name == entry.name })
	next = append(next, entry)
	slices.SortFunc(next, func(a, b listed) int { return strings.Compare(a.name, b.name) })
	return next
}

func (l logList) encode() []byte {
	var text strings.Builder
	text.WriteString("nexo-logs 1\n")
	for _, entry := range l {
		fmt.Fprintf(&text, "%s %x %d %d\n", entry.name, entry.id[:], entry.generation, entry.index)
	}
	fmt.Fprintf(&text, "crc32c %08x\n", crc32.Checksum([]byte(text.String()), castagnoli))
	return []byte(text.String())
}

var (
	errList      = errors.New("LOGS is damaged")
	errNotListed = errors.New("LOGS names another log here")
	errOlder     = errors.New("the log is older than LOGS says")
	errLost      = errors.New("LOGS names this log, and its files are missing")
)

// decodeList is strict: it accepts nothing that encode would not have written.
func decodeList(bytes []byte) (list logList, err error) {
	lines := strings.Split(string(bytes), "\n")
	if lines[0] != "nexo-logs 1" {
		if strings.HasPrefix(lines[0], "nexo-logs ") {
			return nil, fmt.Errorf("%w: its version is not known here", errList)
		}
		return nil, errList
	}
	for _, line := range lines[1:max(len(lines)-2, 1)] {
		words := strings.Fields(line)
		if len(words) != 4 || !isLogName(words[0]) {
			return nil, errList
		}
		entry := listed{name: words[0]}
		id, idErr := hex.DecodeString(words[1])
		var numbers [2]uint64
		for i := range numbers {
			if numbers[i], err = strconv.ParseUint(words[2+i], 10, 64); err != nil {
				return nil, errList
			}
		}
		if idErr != nil || len(id) != len(entry.id) {
			return nil, errList
		}
		copy(entry.id[:], id)
		entry.generation, entry.index = numbers[0], numbers[1]
		list = list.with(entry)
	}
	if string(list.encode()) != string(bytes) {
		return nil, errList
	}
	return list, nil
}

// readList answers an empty list when there is none: a data directory of before it, or a new one.
func readList(dir string) (logList, error) {
	path := filepath.Join(dir, listName)
	bytes, err := os.ReadFile(path)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := decodeList(bytes)
	if err != nil {
		return nil, &damage{file: path, cause: err}
	}
	return list, nil
}

func writeList(dir string, list logList) error {
	temporary := filepath.Join(dir, listName+".tmp")
	if err := writeFileSynced(temporary, list.encode()); err != nil {
		os.Remove(temporary)
		return fmt.Errorf("write LOGS: %w", err)
	}
	if err := os.Rename(temporary, filepath.Join(dir, listName)); err != nil {
		return fmt.Errorf("replace LOGS: %w", err)
	}
	if err := syncDirectory(dir); err != nil {
		return fmt.Errorf("replace LOGS: %w", err)
	}
	return nil
}

// LogID is the id of a log of a data directory, as its files or the list tell; false when nothing does.
func LogID(dir, name string) (id [16]byte, known bool) {
	l := offline(dir, name)
	s := salvage{log: l, report: &LogReport{}}
	if err := s.prepare(); err != nil {
		return id, false
	}
	return l.manifest.id, true
}

// listing orders the changes of a list by the logs that are open at the same time.
type listing struct{ mu sync.Mutex }

// put changes the entry of one log.
func (g *listing) put(dir string, entry listed) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	list, err := readList(dir)
	if err != nil {
		return err
	}
	if old, found := list.find(entry.name); found && old == entry {
		return nil
	}
	return writeList(dir, list.with(entry))
}

// remember puts this log's place into the list. What the list says is on disk before. On a full disk the list keeps an
// older place, which is still right.
func (w *writer) remember(generation, index uint64) error {
	l := w.log
	entry := listed{name: l.options.Name, id: w.id, generation: generation, index: index}
	err := l.listing.put(l.options.Dir, entry)
	if isOutOfSpace(err) {
		l.logger.Warn("no room to write LOGS: it keeps an older place of the log", "error", err)
		return nil
	}
	return err
}

// readListed finds what the list says of this log.
func (l *Log) readListed() error {
	list, err := readList(l.options.Dir)
	if err != nil {
		return err
	}
	l.listed, l.isListed = list.find(l.options.Name)
	return nil
}

// checkListed compares the manifest with the list.
func (l *Log) checkListed() error {
	path := filepath.Join(l.directory, manifestName)
	switch {
	case !l.isListed:
		return nil
	case l.listed.id != l.manifest.id:
		return &damage{file: path, cause: errNotListed}
	case l.listed.generation > l.manifest.last():
		return &damage{file: path, cause: errOlder}
	}
	return nil
}
