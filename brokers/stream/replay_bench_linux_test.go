//go:build amd64 || arm64

package stream

import (
	"os"
	"syscall"
	"testing"

	"github.com/nexobroker/nexo/brokers/brokertest"
)

// BenchmarkReplay reads a stream of sealed entries from its start in pages, from the page cache and from the disk.
func BenchmarkReplay(b *testing.B) {
	for _, c := range []struct {
		name    string
		payload int
		page    FetchOptions
		cold    bool
	}{
		{"1KiB/pages of 1MiB/warm", 1024, FetchOptions{Count: 10_000, MaxBytes: 1 << 20}, false},
		{"1KiB/pages of 1MiB/cold", 1024, FetchOptions{Count: 10_000, MaxBytes: 1 << 20}, true},
		{"128B/pages of 100/warm", 128, FetchOptions{Count: 100, MaxBytes: 1 << 20}, false},
		{"128B/pages of 100/cold", 128, FetchOptions{Count: 100, MaxBytes: 1 << 20}, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			broker, err := Open(Options{Journal: brokertest.NewJournal(), Directory: b.TempDir(), CompactBytes: 1 << 40})
			if err != nil {
				b.Fatal(err)
			}
			defer broker.Close()
			const bytes = 64 << 20
			payloads := make([][]byte, 1000)
			for i := range payloads {
				payloads[i] = make([]byte, c.payload)
			}
			for range bytes / (1000 * c.payload) {
				if _, _, err := broker.Append(streamName, payloads, Expect{}, nil, true); err != nil {
					b.Fatal(err)
				}
			}
			if err := broker.Compact(); err != nil {
				b.Fatal(err)
			}
			var into []Entry
			b.SetBytes(bytes)
			for b.Loop() {
				if c.cold {
					forgetPages(b, broker)
				}
				for from := uint64(1); ; {
					page, err := broker.Fetch(streamName, Position{Offset: from}, c.page, into[:0])
					if err != nil {
						b.Fatal(err)
					}
					if into = page.Entries; len(into) == 0 {
						break
					}
					from = page.Next
				}
			}
		})
	}
}

func forgetPages(b *testing.B, broker *Broker) {
	for _, sealed := range broker.files {
		file, err := os.Open(sealed.Path())
		if err != nil {
			b.Fatal(err)
		}
		if _, _, problem := syscall.Syscall6(syscall.SYS_FADVISE64, file.Fd(), 0, 0, 4, 0, 0); problem != 0 {
			b.Fatal(problem)
		}
		file.Close()
	}
}
