package pubsub

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/nexobroker/nexo/brokers"
)

const (
	// NameMax is the longest topic, filter, pattern or channel in bytes, as MQTT's two length bytes allow.
	NameMax = 65535
	// LevelsMax is the most levels a topic or filter may have.
	LevelsMax = 128
	// GlobMax is the longest glob pattern in bytes. Matching one takes the publisher's time, so it is kept short; up to this
	// length every channel is decided.
	GlobMax = brokers.GlobExactMax
)

// topicProblem says why a name is not a topic; "" when it is one.
func topicProblem(topic []byte) string {
	switch {
	case len(topic) == 0:
		return "topic is empty"
	case len(topic) > NameMax:
		return "topic is longer than 65535 bytes"
	}
	levels, ascii := 1, true
	for _, b := range topic {
		switch {
		case b == '/':
			levels++
		case b == '+' || b == '#':
			return "topic holds a wildcard"
		case b == 0:
			return "topic holds a NUL byte"
		case b >= utf8.RuneSelf:
			ascii = false
		}
	}
	if levels > LevelsMax {
		return "topic has more than 128 levels"
	}
	if !ascii && !utf8.Valid(topic) {
		return "topic is not UTF-8"
	}
	return ""
}

// ValidateTopic answers BADTOPIC for a name that nothing can be published to, and RESERVED for one that starts with '$'.
func ValidateTopic(topic []byte) error {
	if problem := topicProblem(topic); problem != "" {
		return brokers.Errorf("BADTOPIC", "%s", problem)
	}
	if topic[0] == '$' {
		return brokers.Errorf("RESERVED", "topics starting with $ are read-only")
	}
	return nil
}

// ErrGlobLength is returned for a glob pattern that is longer than GlobMax.
var ErrGlobLength = brokers.Errorf("ERR", "a glob pattern has at most %d bytes", GlobMax)

// ValidateChannel answers BADTOPIC for the name of a channel that no filter could ever match for its size: a message published there
// would reach nobody who listens to everything. Any other name is a channel, if not a topic.
func ValidateChannel(name []byte) error {
	switch {
	case len(name) > NameMax:
		return brokers.Errorf("BADTOPIC", "topic is longer than %d bytes", NameMax)
	case bytes.Count(name, separator) >= LevelsMax:
		return brokers.Errorf("BADTOPIC", "topic has more than %d levels", LevelsMax)
	}
	return nil
}

// ValidatePattern answers an error for a pattern of PSUBSCRIBE, a filter or a glob, that no channel could ever match.
func ValidatePattern(pattern string) error {
	if strings.Count(pattern, "/") >= LevelsMax {
		return brokers.Errorf("BADFILTER", "pattern has more than %d levels", LevelsMax)
	}
	if len(pattern) > GlobMax && !IsFilterPattern(pattern) {
		return ErrGlobLength
	}
	return nil
}

// filterProblem says why a text is not a filter; "" when it is one.
func filterProblem(filter string) string {
	switch {
	case filter == "":
		return "filter is empty"
	case len(filter) > NameMax:
		return "filter is longer than 65535 bytes"
	case strings.IndexByte(filter, 0) >= 0:
		return "filter holds a NUL byte"
	case !utf8.ValidString(filter):
		return "filter is not UTF-8"
	case strings.Count(filter, "/") >= LevelsMax:
		return "filter has more than 128 levels"
	}
	for rest, more := filter, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		switch {
		case level == "#" && more:
			return "'#' must be last"
		case level != "#" && strings.IndexByte(level, '#') >= 0:
			return "'#' must fill its level"
		case level != "+" && strings.IndexByte(level, '+') >= 0:
			return "'+' must fill its level"
		}
	}
	return ""
}

// ValidateFilter answers BADFILTER for a text that is not a filter.
func ValidateFilter(filter string) error {
	problem := filterProblem(filter)
	if problem == "" {
		return nil
	}
	const shown = 128
	if len(filter) > shown {
		filter = filter[:shown] + "..."
	}
	return brokers.Errorf("BADFILTER", "'%s' %s", filter, problem)
}

// SplitShare splits "$share/group/filter" into its parts; group is "" when the filter does not start with $share/.
func SplitShare(filter string) (group, rest string, err error) {
	tail, shared := strings.CutPrefix(filter, "$share/")
	if !shared {
		return "", filter, nil
	}
	group, rest, _ = strings.Cut(tail, "/")
	if err := ValidateGroup(group); err != nil {
		return "", "", err
	}
	return group, rest, ValidateFilter(rest)
}

// ValidateGroup answers BADFILTER for a text that cannot name a shared group.
func ValidateGroup(group string) error {
	if group == "" || len(group) > 200 || strings.ContainsAny(group, "/+#\x00") || !utf8.ValidString(group) {
		return brokers.Errorf("BADFILTER", "a shared group's name has 1 to 200 bytes and none of / + #")
	}
	return nil
}

// HasWildcard tells whether a valid filter holds a wildcard level.
func HasWildcard(filter string) bool { return strings.ContainsAny(filter, "+#") }

// IsFilterPattern tells whether a pattern given to PSUBSCRIBE is a topic filter: a valid filter with a wildcard level
// and nothing that a glob would read as special. As a glob such a text could only match itself, so nobody means that.
func IsFilterPattern(pattern string) bool {
	return HasWildcard(pattern) && !strings.ContainsAny(pattern, "*?[\\") && filterProblem(pattern) == ""
}

// filterMatches tells whether a valid filter matches a valid topic. It is the rule read level by level; publishing uses the
// trie, which a test holds against it.
func filterMatches(filter string, topic []byte) bool {
	if topic[0] == '$' && (filter[0] == '+' || filter[0] == '#') {
		return false
	}
	for {
		level, restFilter, moreFilter := strings.Cut(filter, "/")
		if level == "#" {
			return true
		}
		have, restTopic, moreTopic := bytes.Cut(topic, separator)
		if level != "+" && level != string(have) {
			return false
		}
		switch {
		case !moreFilter && !moreTopic:
			return true
		case !moreTopic:
			return restFilter == "#"
		case !moreFilter:
			return false
		}
		filter, topic = restFilter, restTopic
	}
}

var separator = []byte{'/'}
