package main

import (
	"github.com/nexobroker/nexo/aof"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/brokers/stream"
)

// salvagers read the logs for check and repair as their brokers mean them.
func salvagers(dir string) map[string]func() aof.Salvager {
	return map[string]func() aof.Salvager{
		"queue":  func() aof.Salvager { return queueSalvage{queue.NewSalvage()} },
		"stream": func() aof.Salvager { return streamSalvage{stream.NewSalvage(segmentDirectory(dir))} },
	}
}

type queueSalvage struct{ *queue.Salvage }

func (s queueSalvage) Finish(bool) (aof.Findings, error) {
	first, kept := s.Salvage.Finish()
	return aof.Findings{First: first, Kept: kept}, nil
}

type streamSalvage struct{ *stream.Salvage }

func (s streamSalvage) Finish(lossy bool) (aof.Findings, error) {
	found, err := s.Salvage.Finish(lossy)
	return aof.Findings{Damage: found.Damage, First: found.First, Skip: found.Skip, Kept: found.Kept, Files: found.Files, Aside: found.Aside}, err
}
