package commands

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// families is the order of docs/commands.md: what belongs to Nexo first, then what Redis' clients know already.
var families = []struct{ group, title string }{
	{"queue", "Queue"}, {"stream", "Stream"}, {"bus", "Pub/sub with retained messages"}, {"store", "Store"},
	{"string", "Redis strings"}, {"generic", "Redis keys"}, {"pubsub", "Redis pub/sub"}, {"connection", "Connection"}, {"server", "Server"},
}

// Reference renders docs/commands.md from the command table, so that the document cannot say anything else than the server.
func (s *Server) Reference() string {
	groups := map[string][]*Spec{}
	for _, spec := range s.table {
		groups[spec.Group] = append(groups[spec.Group], spec)
	}
	var text strings.Builder
	text.WriteString("# Commands\n\n" +
		"Generated from the command table by `go run ./cmd/nexo docs docs`; do not edit. A running server tells the same: `COMMAND DOCS " +
		"name`.\n\n" +
		"Replies are written as `+simple`, `:integer`, `$bulk`, `,double`, `*array`, `%map` (in RESP2 an array of twice as many elements) " +
		"and `null`.\n\n")
	var known []string
	for _, family := range families {
		known = append(known, family.group)
		fmt.Fprintf(&text, "- [%s](#%s):", family.title, anchor(family.title))
		sortSpecs(groups[family.group])
		for i, spec := range groups[family.group] {
			if i > 0 {
				text.WriteByte(',')
			}
			fmt.Fprintf(&text, " [%s](#%s)", strings.ToUpper(spec.Name), anchor(spec.Name))
		}
		text.WriteByte('\n')
	}
	for group := range groups {
		if !slices.Contains(known, group) {
			panic("BUG: the group " + group + " has no place in the reference")
		}
	}
	for _, family := range families {
		fmt.Fprintf(&text, "\n## %s\n", family.title)
		for _, spec := range groups[family.group] {
			writeReference(&text, spec)
		}
	}
	return text.String()
}

func sortSpecs(specs []*Spec) {
	slices.SortFunc(specs, func(a, b *Spec) int { return cmp.Compare(a.Name, b.Name) })
}

// anchor is the name that Markdown renderers give to a heading.
func anchor(title string) string {
	var name strings.Builder
	for _, r := range strings.ToLower(title) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			name.WriteRune(r)
		case r == ' ':
			name.WriteByte('-')
		}
	}
	return name.String()
}

func writeReference(text *strings.Builder, spec *Spec) {
	name := strings.ToUpper(spec.Name)
	fmt.Fprintf(text, "\n### %s\n\n%s. Since %s.\n", name, spec.Summary, spec.Since)
	if spec.Handler != nil {
		fmt.Fprintf(text, "\n    %s%s\n\nReply: `%s`\n", name, usage(spec.Arguments), spec.Reply)
	}
	if len(spec.Subcommands) == 0 {
		return
	}
	text.WriteString("\n| Subcommand | Meaning | Reply |\n|---|---|---|\n")
	for i := range spec.Subcommands {
		sub := &spec.Subcommands[i]
		fmt.Fprintf(text, "| `%s %s%s` | %s. | `%s` |\n", name, strings.ToUpper(sub.Name), cell(usage(sub.Arguments)), sub.Summary,
			cell(sub.Reply))
	}
}

// cell keeps a bar from ending the cell of a table.
func cell(word string) string { return strings.ReplaceAll(word, "|", `\|`) }
