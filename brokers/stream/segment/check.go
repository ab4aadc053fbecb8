package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"
)

// Report is what Check or Repair found in one file.
type Report struct {
	Name    string
	Blocks  int
	Entries uint64
	Bytes   int64
	Damage  []error // why blocks, or the whole file, cannot be read
	Aside   string  // where Repair has put the damaged file
}

func (r Report) String() string {
	text := fmt.Sprintf("%s: %d entries in %d blocks, %d bytes", r.Name, r.Entries, r.Blocks, r.Bytes)
	if len(r.Damage) == 0 {
		return text + ": good\n"
	}
	text += "\n"
	for _, damage := range r.Damage {
		text += "  damaged: " + damage.Error() + "\n"
	}
	if r.Aside != "" {
		text += "  rebuilt from the blocks that are valid; the damaged file is " + r.Aside + "\n"
	}
	return text
}

// Check reads every block of every file of a log in a directory, and changes nothing. A directory that does not exist has
// none.
func Check(directory string, log Log) (reports []Report, err error) {
	return each(directory, func(id uint64) (Report, error) {
		_, report, err := survey(directory, seedOf(id, log))
		return report, err
	})
}

// Repair writes the files that are damaged anew from their valid blocks, and keeps the damaged ones in quarantine. What is
// lost are the entries of the other blocks: those behind keep their offsets.
func Repair(directory string, log Log) (reports []Report, err error) {
	return each(directory, func(id uint64) (Report, error) {
		blocks, report, err := survey(directory, seedOf(id, log))
		if err != nil || len(report.Damage) == 0 {
			return report, err
		}
		report.Aside, err = rebuild(directory, id, log, blocks)
		return report, err
	})
}

// PutEmpty makes an empty file in the place of one that is missing: its entries are lost, and a start no longer asks for it.
func PutEmpty(directory string, id uint64, log Log) error {
	if _, err := os.Stat(filepath.Join(directory, Name(id))); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not missing (%v)", Name(id), err)
	}
	w, err := Create(directory, id, log, 0)
	if err != nil {
		return err
	}
	w.Mend()
	file, err := w.Commit()
	if err != nil {
		return err
	}
	return file.Close()
}

func each(directory string, visit func(id uint64) (Report, error)) (reports []Report, err error) {
	ids, _, err := List(directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	for _, id := range ids {
		report, err := visit(id)
		if err != nil {
			return reports, fmt.Errorf("%s: %w", Name(id), err)
		}
		reports = append(reports, report)
	}
	return reports, nil
}

// survey finds the valid blocks of a file: those of its directory, or, when that is damaged, those that follow each other
// from the start and, after damage, wherever one is valid at its place.
func survey(directory string, s seed) (blocks []foundBlock, report Report, err error) {
	report.Name = Name(s.id)
	path := filepath.Join(directory, report.Name)
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, report, err
	}
	report.Bytes = int64(len(raw))
	file, err := Open(directory, s.id, s.log)
	var damage *Damage
	switch {
	case err == nil:
		defer file.Close()
		for _, b := range file.Blocks() {
			if _, err := file.Load(&b); errors.As(err, &damage) {
				report.Damage = append(report.Damage, err)
				continue
			} else if err != nil {
				return nil, report, err
			}
			blocks = append(blocks, foundBlock{b, file.seed})
		}
	case errors.As(err, &damage):
		report.Damage = append(report.Damage, err)
		blocks = scan(s, raw)
	default:
		return nil, report, err
	}
	report.Blocks = len(blocks)
	for i := range blocks {
		report.Entries += uint64(blocks[i].Count)
	}
	return blocks, report, nil
}

// foundBlock is a valid block and what its checksum begins with.
type foundBlock struct {
	Block
	seed seed
}

// scan finds blocks without the directory. A block's checksum covers the log, the file's id and its own position, so
// nothing else is taken for one; those of a file of the first version only where the header may have said so.
func scan(s seed, raw []byte) (blocks []foundBlock) {
	seeds := []seed{s}
	if len(raw) < 8 || string(raw[:8]) != headerMagic {
		seeds = append(seeds, seed{id: s.id, first: true})
	}
	for position := headerBytes; position+blockHeadBytes <= len(raw); {
		length := int(binary.BigEndian.Uint32(raw[position:]))
		if length > 0 && length <= len(raw)-position-blockHeadBytes {
			if b, found := decodeAny(seeds, int64(position), raw[position:position+blockHeadBytes+length]); found {
				blocks = append(blocks, b)
				position += int(b.Size())
				continue
			}
		}
		position++
	}
	return blocks
}

func decodeAny(seeds []seed, position int64, raw []byte) (foundBlock, bool) {
	for _, s := range seeds {
		if _, b, problem := decodeBlock(s, position, raw); problem == "" {
			return foundBlock{b, s}, true
		}
	}
	return foundBlock{}, false
}

// rebuild writes the blocks to a file of the same name. The damaged file is linked into quarantine before, so that at
// every moment one of them has the name.
func rebuild(directory string, id uint64, log Log, blocks []foundBlock) (aside string, err error) {
	path := filepath.Join(directory, Name(id))
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	quarantine := filepath.Join(directory, "quarantine")
	if err := os.MkdirAll(quarantine, 0o700); err != nil {
		return "", err
	}
	aside = filepath.Join(quarantine, fmt.Sprintf("%s-%d", Name(id), time.Now().UnixNano()))
	if err := os.Link(path, aside); err != nil {
		return "", err
	}
	if err := SyncDirectory(quarantine); err != nil {
		return "", err
	}
	w, err := Create(directory, id, log, 0)
	if err != nil {
		return "", err
	}
	w.Mend()
	sort.Slice(blocks, func(i, k int) bool {
		a, b := &blocks[i], &blocks[k]
		return a.Stream < b.Stream || a.Stream == b.Stream && a.First < b.First
	})
	for _, b := range blocks {
		content, _, problem := decodeBlock(b.seed, b.Position, raw[b.Position:b.Position+b.Size()])
		if problem != "" {
			return "", errors.Join(errors.New(problem), w.Abort())
		}
		before := content.Before
		for i, e := range content.Entries {
			var link *Link
			if content.Hashes != nil {
				link = &Link{Before: before, Hash: content.Hashes[i]}
				before = link.Hash
			}
			if err := w.Add(b.Stream, e, link); err != nil {
				return "", errors.Join(err, w.Abort())
			}
		}
	}
	file, err := w.Commit()
	if err != nil {
		return "", err
	}
	return aside, file.Close()
}
