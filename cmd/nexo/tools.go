package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/nexobroker/nexo/aof"
	"github.com/nexobroker/nexo/brokers/stream/segment"
)

// directoryOf is the data directory that check and repair are given. One that is not there, or holds nothing of ours, is a
// mistake: neither is made, nor found to be without damage.
func directoryOf(c *cli.Context) (string, error) {
	dir := c.Args().First()
	info, err := os.Stat(dir)
	if err != nil {
		return "", usageError("%v", err)
	}
	if !info.IsDir() {
		return "", usageError("%s is not a directory", dir)
	}
	for _, name := range []string{"LOCK", "LOGS", "store", "retained", "queue", "stream", "segments"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return dir, nil
		}
	}
	return "", usageError("%s holds no logs: is it the data directory of a server?", dir)
}

func checkCommand() *cli.Command {
	return &cli.Command{Name: "check", Usage: "read the logs of a data directory and report what is damaged; changes nothing",
		ArgsUsage: "DIR",
		Action: func(c *cli.Context) error {
			dir, err := directoryOf(c)
			if err != nil {
				return err
			}
			report, err := aof.Repair(dir, aof.RepairOptions{DryRun: true, Salvagers: salvagers(dir)})
			if err != nil {
				return err
			}
			fmt.Fprint(c.App.Writer, report)
			segments, err := segment.Check(segmentDirectory(dir), segmentLog(dir))
			if err != nil {
				return err
			}
			if printSegments(c.App.Writer, segments) || report.Damaged() {
				return cli.Exit("damage found: see nexo repair --help", exitCorrupted)
			}
			return nil
		}}
}

func repairCommand() *cli.Command {
	return &cli.Command{Name: "repair", Usage: "rebuild damaged logs from their valid records; a dry run unless --apply is given",
		ArgsUsage: "DIR",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "apply", Usage: "do it: accept the loss that the dry run shows; the old files are kept in quarantine"},
			&cli.Uint64Flag{Name: "missing-segment", Usage: "number of a segment file that is missing for good: an empty one takes its place"},
		},
		Action: func(c *cli.Context) error {
			dir, err := directoryOf(c)
			if err != nil {
				return err
			}
			lock, err := aof.LockDirectory(dir)
			if err != nil {
				return err
			}
			defer lock.Unlock()
			// The files come first: the log of the streams is repaired with what can be read of them.
			damaged, err := repairSegments(c, segmentDirectory(dir), segmentLog(dir))
			if err != nil {
				return err
			}
			apply := c.Bool("apply")
			report, err := aof.Repair(dir, aof.RepairOptions{AcceptLoss: apply, DryRun: !apply, Salvagers: salvagers(dir)})
			if err != nil {
				return err
			}
			fmt.Fprint(c.App.Writer, report)
			if (damaged || report.Damaged()) && !apply {
				fmt.Fprintln(c.App.Writer, "nothing was changed: add --apply to accept this loss")
			}
			return nil
		}}
}

func printSegments(w io.Writer, reports []segment.Report) (damaged bool) {
	for _, report := range reports {
		fmt.Fprint(w, report)
		damaged = damaged || len(report.Damage) > 0
	}
	return damaged
}

// repairSegments repairs the segment files of the streams, or shows what it would.
func repairSegments(c *cli.Context, dir string, log segment.Log) (damaged bool, err error) {
	work := segment.Check
	if c.Bool("apply") {
		work = segment.Repair
		if c.IsSet("missing-segment") {
			if err := segment.PutEmpty(dir, c.Uint64("missing-segment"), log); err != nil {
				return false, err
			}
		}
	}
	if c.IsSet("missing-segment") {
		fmt.Fprintf(c.App.Writer, "%s: given up with all entries that it had; an empty file takes its place\n",
			segment.Name(c.Uint64("missing-segment")))
	}
	reports, err := work(dir, log)
	return printSegments(c.App.Writer, reports) || c.IsSet("missing-segment"), err
}
