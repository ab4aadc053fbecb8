package commands

import (
	"strings"
	"testing"
)

func TestEveryCommandIsDescribed(t *testing.T) {
	s := newServer(underTest{}, testConfig{})
	seen := map[string]bool{}
	var check func(prefix string, spec *Spec)
	check = func(prefix string, spec *Spec) {
		name := prefix + spec.Name
		if seen[name] {
			t.Errorf("%s: the name is taken", name)
		}
		seen[name] = true
		for field, value := range map[string]string{"Summary": spec.Summary, "Group": spec.Group, "Since": spec.Since, "Reply": spec.Reply} {
			// The replies of a command that has only subcommands are theirs.
			if value == "" && (field != "Reply" || spec.Handler != nil) {
				t.Errorf("%s: %s is empty", name, field)
			}
		}
		if strings.HasSuffix(spec.Summary, ".") {
			t.Errorf("%s: the summary ends with a full stop", name)
		}
		if spec.Name != strings.ToLower(spec.Name) || len(spec.Name) > nameMax {
			t.Errorf("%s: the name is not lower case or too long to be found", name)
		}
		if spec.Arity == 0 || spec.Handler == nil && spec.Subcommands == nil {
			t.Errorf("%s: cannot be called", name)
		}
		for i := range spec.Subcommands {
			check(spec.Name+"|", &spec.Subcommands[i])
		}
	}
	if len(s.table) < 100 {
		t.Fatalf("only %d commands", len(s.table))
	}
	for _, spec := range s.table {
		check("", spec)
	}
}

func TestReferenceHoldsEveryCommand(t *testing.T) {
	s := newServer(underTest{}, testConfig{})
	text := s.Reference()
	for name, spec := range s.table {
		if !strings.Contains(text, "\n### "+strings.ToUpper(name)+"\n") {
			t.Errorf("%s has no section", name)
		}
		for i := range spec.Subcommands {
			if !strings.Contains(text, "| `"+strings.ToUpper(name+" "+spec.Subcommands[i].Name)) {
				t.Errorf("%s %s has no line", name, spec.Subcommands[i].Name)
			}
		}
	}
}

// TestSearchesTakeNoSlotOfTheGate: on a machine with two processors there is one, and a push would wait for the page to end.
func TestSearchesTakeNoSlotOfTheGate(t *testing.T) {
	s := newServer(underTest{}, testConfig{})
	list, replay := s.table["qdlq"].subcommand([]byte("list")), s.table["qdlq"].subcommand([]byte("replay"))
	if s.table["qpeek"].Runs != Beside || list.Runs != Beside {
		t.Error("a search takes a slot, or runs in the event loop")
	}
	if s.table["qpush"].Runs != InLoop || replay.Runs != Gated {
		t.Error("a push runs beside the event loop, or the replay of dead letters takes no slot")
	}
}
