package pubsub

import (
	"bytes"
	"strings"
	"sync"
	"sync/atomic"
)

// node is one level of the filter trie.
//
//	filters  a/+/c  a/#        root -a-> (a, hash: "a/#") -plus-> (+) -c-> (c, here: "a/+/c")
type node struct {
	children map[string]*node
	plus     *node
	here     *roster // the filter that ends with this level
	hash     *roster // the filter that goes on with a final '#'
}

func (n *node) bare() bool {
	return len(n.children) == 0 && n.plus == nil && n.here == nil && n.hash == nil
}

// wildcards holds every subscription that may match more than one name.
type wildcards struct {
	// generation changes with every change of the set; results computed under another generation are stale.
	generation atomic.Uint64
	// names is the number of distinct filters and patterns.
	names atomic.Int64
	// none is the result of a name that nothing matches, of one generation.
	none atomic.Pointer[result]

	mu struct {
		sync.RWMutex
		root   node
		shapes shapes // of the filters in the trie
		globs  globIndex
		nodes  int // of the trie, without the root
	}
}

// result is what matches one topic, immutable.
type result struct {
	generation uint64
	parts      []part
}

func (w *wildcards) empty() bool { return w.names.Load() == 0 }

func (w *wildcards) add(sub *Subscription) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var r *roster
	if sub.Kind == Glob {
		r = w.mu.globs.ensure(sub.Name)
	} else {
		r = w.ensureLocked(sub.Name)
	}
	if r.empty() {
		w.names.Add(1)
		if sub.Kind != Glob {
			w.mu.shapes.add(sub.Name)
		}
	}
	r.add(sub)
	w.generation.Add(1)
}

func (w *wildcards) remove(sub *Subscription) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if sub.Kind == Glob {
		r := w.mu.globs.roster(sub.Name)
		if r == nil || !r.remove(sub) {
			return false
		}
		if r.empty() {
			w.mu.globs.drop(sub.Name)
			w.names.Add(-1)
		}
	} else if !w.removeLocked(&w.mu.root, sub.Name, true, sub) {
		return false
	}
	w.generation.Add(1)
	return true
}

// ensureLocked returns the roster of a filter, making the path to it.
func (w *wildcards) ensureLocked(filter string) *roster {
	n := &w.mu.root
	for rest, more := filter, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		if level == "#" {
			if n.hash == nil {
				n.hash = &roster{filter: filter}
			}
			return n.hash
		}
		n = w.childLocked(n, level)
	}
	if n.here == nil {
		n.here = &roster{filter: filter}
	}
	return n.here
}

func (w *wildcards) childLocked(n *node, level string) *node {
	if level == "+" {
		if n.plus == nil {
			n.plus = &node{}
			w.mu.nodes++
		}
		return n.plus
	}
	child := n.children[level]
	if child == nil {
		if n.children == nil {
			n.children = map[string]*node{}
		}
		child = &node{}
		// The level is cloned so that a short key does not pin a long filter.
		n.children[strings.Clone(level)] = child
		w.mu.nodes++
	}
	return child
}

// removeLocked takes the subscription out below n and cuts the nodes that have nothing left.
func (w *wildcards) removeLocked(n *node, rest string, more bool, sub *Subscription) bool {
	if !more {
		return w.dismissLocked(&n.here, sub)
	}
	level, rest, more := strings.Cut(rest, "/")
	if level == "#" {
		return w.dismissLocked(&n.hash, sub)
	}
	child := n.plus
	if level != "+" {
		child = n.children[level]
	}
	if child == nil || !w.removeLocked(child, rest, more, sub) {
		return false
	}
	if !child.bare() {
		return true
	}
	w.mu.nodes--
	if level == "+" {
		n.plus = nil
		return true
	}
	delete(n.children, level)
	return true
}

func (w *wildcards) dismissLocked(r **roster, sub *Subscription) bool {
	if *r == nil || !(*r).remove(sub) {
		return false
	}
	if (*r).empty() {
		*r = nil
		w.names.Add(-1)
		w.mu.shapes.remove(sub.Name)
	}
	return true
}

// resolve computes what matches a name. Filters match it only when it is a valid topic, globs always.
func (w *wildcards) resolve(name []byte) *result {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var parts []part
	if w.mu.shapes.mayMatch(name) && topicProblem(name) == "" {
		parts = w.mu.root.match(name, true, name[0] == '$', parts)
	}
	parts = w.mu.globs.match(name, parts)
	generation := w.generation.Load()
	if len(parts) > 0 {
		return &result{generation, parts}
	}
	none := w.none.Load()
	if none == nil || none.generation != generation {
		none = &result{generation: generation}
		w.none.Store(none)
	}
	return none
}

// match appends every filter below n that matches rest; hidden is set at the root for a topic that starts with '$', which no
// leading wildcard matches.
func (n *node) match(rest []byte, more, hidden bool, parts []part) []part {
	if n.hash != nil && !hidden {
		parts = append(parts, n.hash.view())
	}
	if !more {
		if n.here != nil {
			parts = append(parts, n.here.view())
		}
		return parts
	}
	level, rest, more := bytes.Cut(rest, separator)
	if child := n.children[string(level)]; child != nil {
		parts = child.match(rest, more, false, parts)
	}
	if n.plus != nil && !hidden {
		parts = n.plus.match(rest, more, false, parts)
	}
	return parts
}

// each calls visit with the roster of every wildcard name, under the read lock, until it returns false.
func (w *wildcards) each(visit func(*roster) bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.mu.root.each(visit) {
		w.mu.globs.each(visit)
	}
}

func (n *node) each(visit func(*roster) bool) bool {
	for _, r := range []*roster{n.here, n.hash} {
		if r != nil && !visit(r) {
			return false
		}
	}
	if n.plus != nil && !n.plus.each(visit) {
		return false
	}
	for _, child := range n.children {
		if !child.each(visit) {
			return false
		}
	}
	return true
}
