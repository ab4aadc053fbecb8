package pubsub

import "slices"

// watch is somebody who looks on. The list of them is immutable, and replaced under retained.mu.
type watch struct {
	filter string
	see    func(topic, payload []byte)
}

// Watch shows a function every message that is published to a topic which the filter matches, until stop is called. Nothing counts
// a watch: it is no subscription and no receiver, what it is shown is not delivered, and where nobody subscribes nothing is gathered
// for it. see is called from publishers' goroutines, at once from several, and must not block or call the broker; it may be called once
// more while stop runs. The bytes are valid during the call.
//
// Before it begins, replay is called with a cursor over the retained messages that match, if there may be any: no message is missed
// and none comes twice.
func (b *Broker) Watch(filter string, replay func(*Cursor), see func(topic, payload []byte)) (stop func(), err error) {
	if err := ValidateFilter(filter); err != nil {
		return nil, err
	}
	b.retained.mu.Lock()
	defer b.retained.mu.Unlock()
	if cursor := b.retained.cursorLocked(b.clock, Filter, filter); cursor != nil {
		replay(cursor)
	}
	one := &watch{filter, see}
	b.setWatchesLocked(append(slices.Clone(b.watching()), one))
	return func() {
		b.retained.mu.Lock()
		defer b.retained.mu.Unlock()
		b.setWatchesLocked(slices.DeleteFunc(slices.Clone(b.watching()), func(other *watch) bool { return other == one }))
	}, nil
}

func (b *Broker) watching() []*watch {
	if list := b.watches.Load(); list != nil {
		return *list
	}
	return nil
}

func (b *Broker) setWatchesLocked(list []*watch) {
	if len(list) == 0 {
		b.watches.Store(nil)
		return
	}
	b.watches.Store(&list)
}

// show is called for each message that is published, shard channels excepted.
func (b *Broker) show(topic, payload []byte) {
	list := b.watches.Load()
	if list == nil || topicProblem(topic) != "" {
		return
	}
	for _, one := range *list {
		if filterMatches(one.filter, topic) {
			one.see(topic, payload)
		}
	}
}
