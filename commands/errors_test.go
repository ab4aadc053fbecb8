package commands_test

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/commands/commandstest"
)

var (
	codeWord = regexp.MustCompile(`^[A-Z]{2,}$`)
	// codedText is a text that begins with what may be a code word.
	codedText = regexp.MustCompile(`^([A-Z]{3,}) ['"%A-Za-z]`)
)

// TestErrorWordsAreThoseOfTheSources reads the sources of all packages that answer clients: each code word that they make an error
// with is in the list, and each word of the list is made somewhere.
func TestErrorWordsAreThoseOfTheSources(t *testing.T) {
	listed := map[string]bool{}
	words := commands.WordsOfErrors()
	for i, word := range words {
		listed[word] = true
		if i > 0 && words[i-1] >= word {
			t.Errorf("%s is not in its place", word)
		}
	}
	s := commandstest.NewServer(commandstest.Brokers{}, commandstest.Process{})
	made := map[string]string{} // the file by word
	for _, directory := range []string{"../commands", "../brokers", "../aof", "../resp"} {
		err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || filepath.Base(path) == "errors.go" &&
				directory == "../commands" {
				return err
			}
			file, err := parser.ParseFile(gotoken.NewFileSet(), path, nil, 0)
			if err == nil {
				errorWordsOf(file, func(word string, certain bool) {
					if certain || directory == "../commands" && !knowsWord(s.Server, word) {
						made[word] = path
					}
				})
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for word, path := range made {
		if !listed[word] {
			t.Errorf("%s answers an error %s, which is not in the list of code words", path, word)
		}
	}
	for word := range listed {
		if made[word] == "" {
			t.Errorf("no source makes an error %s", word)
		}
	}
	for _, retried := range []string{"READONLY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS"} {
		if listed[retried] {
			t.Errorf("%s is a word that clients retry on by themselves", retried)
		}
	}
}

// errorWordsOf finds the words that a file makes errors with: the first argument of Errorf, a field or constant that is named Code,
// and, less certain, what a text begins with, which only counts where replies are written.
func errorWordsOf(file *ast.File, found func(word string, certain bool)) {
	text := func(e ast.Expr) string {
		literal, ok := e.(*ast.BasicLit)
		if !ok || literal.Kind != gotoken.STRING {
			return ""
		}
		plain, _ := strconv.Unquote(literal.Value)
		return plain
	}
	certain := func(e ast.Expr) {
		if word := text(e); codeWord.MatchString(word) {
			found(word, true)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if called, ok := n.Fun.(*ast.SelectorExpr); ok && called.Sel.Name == "Errorf" && len(n.Args) > 1 {
				certain(n.Args[0])
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Code" {
				certain(n.Value)
			}
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if strings.HasPrefix(name.Name, "Code") && i < len(n.Values) {
					certain(n.Values[i])
				}
			}
		case *ast.BasicLit:
			if match := codedText.FindStringSubmatch(text(n)); match != nil {
				found(match[1], false)
			}
		}
		return true
	})
}

// knowsWord tells whether a word in capitals is one of the commands', with which texts begin that are no errors.
func knowsWord(s *commands.Server, word string) bool {
	var has func(arguments []commands.Argument) bool
	has = func(arguments []commands.Argument) bool {
		return slices.ContainsFunc(arguments, func(a commands.Argument) bool { return a.Token == word || has(a.Arguments) })
	}
	for name, spec := range s.Table() {
		if strings.ToUpper(name) == word || has(spec.Arguments) {
			return true
		}
		for i := range spec.Subcommands {
			if sub := &spec.Subcommands[i]; strings.ToUpper(sub.Name) == word || has(sub.Arguments) {
				return true
			}
		}
	}
	return false
}
