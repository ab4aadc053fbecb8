package streams

import "slices"

// GroupName is a consumer group of a stream.
type GroupName struct{ Stream, Group string }

// worker is a consumer of a group that a connection works as.
type worker struct{ stream, group, consumer string }

// workersPerConnection is how many consumers one connection is known to work as: the last ones.
const workersPerConnection = 8

// worksAs notes that the connection takes entries of a group. What is noted already costs a comparison.
func (s *streamState) worksAs(stream, group, consumer []byte) {
	list := s.workers.Load()
	if list != nil && slices.ContainsFunc(*list, func(w worker) bool {
		return w.stream == string(stream) && w.group == string(group) && w.consumer == string(consumer)
	}) {
		return
	}
	made := []worker{{string(stream), string(group), string(consumer)}}
	if list != nil {
		made = append(made, (*list)[:min(len(*list), workersPerConnection-1)]...)
	}
	s.workers.Store(&made)
}

// worksNoMore takes a consumer out that has left its group.
func (s *streamState) worksNoMore(stream, group, consumer []byte) {
	if list := s.workers.Load(); list != nil {
		left := slices.DeleteFunc(slices.Clone(*list), func(w worker) bool {
			return w.stream == string(stream) && w.group == string(group) && w.consumer == string(consumer)
		})
		s.workers.Store(&left)
	}
}

// Workers counts the consumers of each group that work now: those that an open connection takes entries as, whether it waits for
// the next, has some in hand, or neither at the moment. A consumer of two connections is one.
func (f *Family) Workers() map[GroupName]int {
	seen, counts := map[worker]bool{}, map[GroupName]int{}
	f.family.EachState(func(state any) {
		list := state.(*streamState).workers.Load()
		if list == nil {
			return
		}
		for _, w := range *list {
			if !seen[w] {
				seen[w] = true
				counts[GroupName{w.stream, w.group}]++
			}
		}
	})
	return counts
}
