package slab

// shape is how the blocks of a class lie in their spans.
type shape struct {
	size  int // of a block, a multiple of 8
	pages int // of a span
}

// layout is what follows from a shape.
type layout struct {
	size, pages int
	per         int // blocks in a span
	first       int // where the first of them begins
}

// shapes are the classes. The sizes are those that fill few pages well; see the package doc for what a block and a span waste.
var shapes = [...]shape{
	{40, 1}, {48, 1}, {56, 1}, {64, 1}, {72, 1}, {80, 1}, {88, 1}, {96, 1}, {104, 1}, {112, 1}, {120, 1}, {128, 1}, {136, 1}, {144, 1},
	{152, 1}, {160, 1}, {168, 1}, {176, 1}, {184, 1}, {192, 1}, {200, 1}, {208, 1}, {216, 1}, {248, 1}, {264, 1}, {288, 1}, {304, 1},
	{336, 1}, {360, 1}, {400, 1}, {448, 1}, {504, 1}, {536, 2}, {576, 1}, {624, 2}, {672, 1}, {736, 2}, {808, 1}, {896, 2}, {1008, 1},
	{1104, 3}, {1216, 3}, {1344, 1}, {1528, 3}, {1624, 2}, {1744, 3}, {2016, 1}, {2264, 5}, {2440, 3}, {2712, 2}, {2912, 5}, {3264, 4},
	{3496, 6}, {4064, 2}, {4904, 6}, {5440, 4}, {6112, 3}, {6808, 5}, {8136, 2},
}

// BlockMax is the largest block that shares its pages with others.
const BlockMax = 8136

// classBySize is the class of each size, in units of 8 bytes.
var classBySize = func() (table [BlockMax/8 + 1]uint8) {
	class := 0
	for unit := range table {
		if unit*8 > shapes[class].size {
			class++
		}
		table[unit] = uint8(class)
	}
	return table
}()

// layouts are those of the classes.
var layouts = func() (all [len(shapes)]layout) {
	for i, s := range shapes {
		l := layout{size: s.size, pages: s.pages}
		for l.per = s.pages * PageSize / s.size; ; l.per-- {
			if l.first = spanHeader + (l.per+7)&^7; l.first+l.per*s.size <= s.pages*PageSize {
				break
			}
		}
		all[i] = l
	}
	return all
}()
