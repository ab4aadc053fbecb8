package store

import (
	"bytes"
	"math"
	"math/big"
	"strconv"
)

// parseInteger reads a decimal integer as Redis does: no plus sign, no leading zeros, no spaces.
func parseInteger(text []byte) (int64, bool) {
	if len(text) == 0 || len(text) > 20 {
		return 0, false
	}
	digits, negative := text, text[0] == '-'
	if negative {
		digits = text[1:]
	}
	if len(digits) == 0 || len(digits) > 19 || (digits[0] == '0' && (len(digits) > 1 || negative)) {
		return 0, false
	}
	var n uint64 // 19 digits fit
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	switch {
	case negative && n <= 1<<63:
		return -int64(n), true
	case !negative && n <= math.MaxInt64:
		return int64(n), true
	}
	return 0, false
}

const (
	longDoubleDigits   = 64    // bits of the mantissa of an x87 long double
	longDoubleExponent = 16384 // its largest binary exponent
	longDoubleText     = 5 << 10
	exponentMax        = 5000 // decimal; above it a number is out of range anyway, and costly to read
)

// parseLongDouble reads a number as C's strtold does. infinite tells of an infinity and its sign.
func parseLongDouble(text []byte) (f *big.Float, infinite int, ok bool) {
	if len(text) == 0 || len(text) >= longDoubleText {
		return nil, 0, false
	}
	unsigned, sign := text, 1
	if text[0] == '-' || text[0] == '+' {
		if text[0] == '-' {
			sign = -1
		}
		unsigned = text[1:]
	}
	if bytes.EqualFold(unsigned, []byte("inf")) || bytes.EqualFold(unsigned, []byte("infinity")) {
		return nil, sign, true
	}
	base := 10
	digits, exponent := []byte("0123456789."), "eE"
	if len(unsigned) > 2 && unsigned[0] == '0' && (unsigned[1] == 'x' || unsigned[1] == 'X') {
		base = 16
		unsigned = unsigned[2:]
		digits, exponent = []byte("0123456789.abcdefABCDEF"), "pP"
	}
	mantissa := unsigned
	if at := bytes.IndexAny(unsigned, exponent); at >= 0 {
		mantissa = unsigned[:at]
		if !exponentInRange(unsigned[at+1:]) {
			return nil, 0, false
		}
	}
	for _, c := range mantissa {
		if bytes.IndexByte(digits, c) < 0 {
			return nil, 0, false
		}
	}
	f, _, err := big.ParseFloat(string(unsigned), base, longDoubleDigits, big.ToNearestEven)
	if err != nil || f.IsInf() || f.MantExp(nil) > longDoubleExponent || f.MantExp(nil) < -longDoubleExponent-64 {
		return nil, 0, false
	}
	if sign < 0 {
		f.Neg(f)
	}
	return f, 0, true
}

func exponentInRange(text []byte) bool {
	n, err := strconv.Atoi(string(text))
	return err == nil && n >= -exponentMax && n <= exponentMax
}

// addLongDouble is the text of a + z: at most 17 decimals, no exponent, no trailing zeros.
func addLongDouble(a, z []byte) ([]byte, error) {
	x, xInfinite, ok := parseLongDouble(a)
	if !ok {
		return nil, ErrNotFloat
	}
	y, yInfinite, ok := parseLongDouble(z)
	if !ok {
		return nil, ErrNotFloat
	}
	if xInfinite != 0 || yInfinite != 0 {
		return nil, ErrNotFinite
	}
	sum := new(big.Float).SetPrec(longDoubleDigits).SetMode(big.ToNearestEven).Add(x, y)
	if sum.MantExp(nil) > longDoubleExponent {
		return nil, ErrNotFinite
	}
	text := sum.Append(nil, 'f', 17)
	text = bytes.TrimRight(text, "0")
	text = bytes.TrimSuffix(text, []byte("."))
	if len(text) == 0 || string(text) == "-0" || string(text) == "-" {
		return []byte("0"), nil
	}
	return text, nil
}
