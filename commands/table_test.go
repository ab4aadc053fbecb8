package commands_test

import (
	"strings"
	"testing"

	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/commands/commandstest"
)

func TestEveryCommandIsDescribed(t *testing.T) {
	s := commandstest.NewServer(commandstest.Brokers{}, commandstest.Process{})
	seen := map[string]bool{}
	var check func(prefix string, spec *commands.Spec)
	check = func(prefix string, spec *commands.Spec) {
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
		if spec.Name != strings.ToLower(spec.Name) || len(spec.Name) > commands.NameMax {
			t.Errorf("%s: the name is not lower case or too long to be found", name)
		}
		if spec.Arity == 0 || spec.Handler == nil && spec.Subcommands == nil {
			t.Errorf("%s: cannot be called", name)
		}
		for i := range spec.Subcommands {
			check(spec.Name+"|", &spec.Subcommands[i])
		}
	}
	if len(s.Table()) < 100 {
		t.Fatalf("only %d commands", len(s.Table()))
	}
	for _, spec := range s.Table() {
		check("", spec)
	}
}

func TestReferenceHoldsEveryCommand(t *testing.T) {
	s := commandstest.NewServer(commandstest.Brokers{}, commandstest.Process{})
	text := s.Reference()
	for name, spec := range s.Table() {
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
	s := commandstest.NewServer(commandstest.Brokers{}, commandstest.Process{})
	list, replay := s.Table()["qdlq"].Subcommand("list"), s.Table()["qdlq"].Subcommand("replay")
	if s.Table()["qpeek"].Runs != commands.Beside || list.Runs != commands.Beside {
		t.Error("a search takes a slot, or runs in the event loop")
	}
	if s.Table()["qpush"].Runs != commands.InLoop || replay.Runs != commands.Gated {
		t.Error("a push runs beside the event loop, or the replay of dead letters takes no slot")
	}
}

// TestMultipleOption holds that a word in front of several values stands once, as it does on the wire.
func TestMultipleOption(t *testing.T) {
	keys := commands.Many(commands.Option("DEDUP", "key", "string"))
	if text := commands.Usage([]commands.Argument{keys}); text != " [DEDUP key [key ...]]" {
		t.Fatal(text)
	}
	server := commandstest.NewServer(commandstest.Brokers{}, commandstest.Process{})
	for _, spec := range server.Queues.Family().Specs {
		if spec.Name == "qmpush" && !strings.HasSuffix(commands.Usage(spec.Arguments), " [DEDUP key [key ...]] [NOMKQ]") {
			t.Fatal(commands.Usage(spec.Arguments))
		}
	}
}
