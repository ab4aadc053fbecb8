package aof

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const manifestName = "MANIFEST"

// manifest says which files of a log are the truth.
type manifest struct {
	id          logID
	snapshot    uint64   // number of the snapshot, 0 when there is none
	generations []uint64 // rising by one
}

func (m manifest) last() uint64 { return m.generations[len(m.generations)-1] }

// lastGeneration is last, or 0 when there is none.
func (m manifest) lastGeneration() uint64 {
	if len(m.generations) == 0 {
		return 0
	}
	return m.last()
}

func (m manifest) encode() []byte {
	var text strings.Builder
	text.WriteString("nexo-manifest 1\n")
	fmt.Fprintf(&text, "log %x\nsnapshot %d\ngenerations", m.id[:], m.snapshot)
	for _, generation := range m.generations {
		fmt.Fprintf(&text, " %d", generation)
	}
	text.WriteString("\n")
	fmt.Fprintf(&text, "crc32c %08x\n", crc32.Checksum([]byte(text.String()), castagnoli))
	return []byte(text.String())
}

var errManifest = errors.New("MANIFEST is damaged")

// decodeManifest is strict: it accepts nothing that encode would not have written.
func decodeManifest(bytes []byte) (manifest, error) {
	lines := strings.Split(string(bytes), "\n")
	if len(lines) < 2 || lines[0] != "nexo-manifest 1" {
		if strings.HasPrefix(lines[0], "nexo-manifest ") {
			return manifest{}, fmt.Errorf("%w: its version is not known here", errManifest)
		}
		return manifest{}, errManifest
	}
	if len(lines) != 6 {
		return manifest{}, errManifest
	}
	var m manifest
	id, err := hex.DecodeString(strings.TrimPrefix(lines[1], "log "))
	if err != nil || len(id) != len(m.id) {
		return manifest{}, errManifest
	}
	copy(m.id[:], id)
	if m.snapshot, err = strconv.ParseUint(strings.TrimPrefix(lines[2], "snapshot "), 10, 64); err != nil {
		return manifest{}, errManifest
	}
	for _, word := range strings.Fields(strings.TrimPrefix(lines[3], "generations ")) {
		generation, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return manifest{}, errManifest
		}
		m.generations = append(m.generations, generation)
	}
	if len(m.generations) == 0 || string(m.encode()) != string(bytes) {
		return manifest{}, errManifest
	}
	return m, m.check()
}

func (m manifest) check() error {
	for i, generation := range m.generations {
		if generation == 0 || (i > 0 && generation != m.generations[i-1]+1) {
			return fmt.Errorf("%w: generations do not follow each other", errManifest)
		}
	}
	if m.snapshot != 0 && m.snapshot != m.generations[0] {
		return fmt.Errorf("%w: the first generation does not follow the snapshot", errManifest)
	}
	return nil
}

// writeManifest replaces the MANIFEST. replaced tells whether the new one may be what a restart finds: when it is true
// and err is not nil, nobody knows.
func writeManifest(directory string, m manifest) (replaced bool, err error) {
	temporary := filepath.Join(directory, manifestName+".tmp")
	if err := writeFileSynced(temporary, m.encode()); err != nil {
		os.Remove(temporary)
		return false, fmt.Errorf("write MANIFEST: %w", err)
	}
	if err := os.Rename(temporary, filepath.Join(directory, manifestName)); err != nil {
		return false, fmt.Errorf("replace MANIFEST: %w", err)
	}
	if err := syncDirectory(directory); err != nil {
		return true, fmt.Errorf("replace MANIFEST: %w", err)
	}
	return true, nil
}

// writeFileSynced writes a whole file and fsyncs it.
func writeFileSynced(path string, bytes []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(bytes)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}
