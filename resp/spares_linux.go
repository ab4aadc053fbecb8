package resp

// spares are slices that their owner keeps for reuse: many small ones and few large ones, of which the last is lent first.
type spares[T any] struct {
	list  [][]T
	large int // of the list
	limit int // up to this capacity one is small
	most  int // over this capacity none is kept
}

func (p *spares[T]) take() []T {
	n := len(p.list)
	if n == 0 {
		return nil
	}
	s := p.list[n-1]
	p.list[n-1] = nil
	p.list = p.list[:n-1]
	if cap(s) > p.limit {
		p.large--
	}
	return s
}

// put keeps s, of which nothing is needed any more, unless it is too large or there are enough of its kind.
func (p *spares[T]) put(s []T) {
	switch size := cap(s); {
	case size == 0 || size > p.most || len(p.list) >= smallMax:
		return
	case size > p.limit:
		if p.large >= largeMax {
			return
		}
		p.large++
	}
	p.list = append(p.list, s[:0])
}
