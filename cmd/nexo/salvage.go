package main

import (
	"github.com/nexobroker/nexo/aof"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/brokers/stream"
	"github.com/nexobroker/nexo/brokers/stream/segment"
)

// salvagers read the logs for check and repair as their brokers mean them.
func salvagers(dir string) map[string]func() aof.Salvager {
	return map[string]func() aof.Salvager{
		"queue":  func() aof.Salvager { return queueSalvage{queue.NewSalvage(backlogDirectory(dir))} },
		"stream": func() aof.Salvager { return streamSalvage{stream.NewSalvage(segmentDirectory(dir), segmentLog(dir))} },
	}
}

// segmentLog tells the segment files of the data directory's stream log from those of others. When nothing says which log
// it is, no file of the present version is taken for one of it.
func segmentLog(dir string) (log segment.Log) {
	id, _ := aof.LogID(dir, "stream")
	copy(log[:], id[:])
	return log
}

type queueSalvage struct{ *queue.Salvage }

func (s queueSalvage) Finish(lossy, snapshot bool) (aof.Findings, error) {
	found, err := s.Salvage.Finish(lossy, snapshot)
	return aof.Findings{
		Damage: found.Damage, First: found.First, Skip: found.Skip, Kept: found.Kept, Files: found.Files, Aside: found.Aside,
	}, err
}

type streamSalvage struct{ *stream.Salvage }

func (s streamSalvage) Finish(lossy, snapshot bool) (aof.Findings, error) {
	found, err := s.Salvage.Finish(lossy, snapshot)
	return aof.Findings{
		Damage: found.Damage, First: found.First, Last: found.Last, Skip: found.Skip,
		Kept: found.Kept, Files: found.Files, Aside: found.Aside,
	}, err
}
