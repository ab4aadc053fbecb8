package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/nexobroker/nexo"
)

func TestGeneratedDocumentsAreFresh(t *testing.T) {
	documents, err := generatedDocuments()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range documents {
		got, err := os.ReadFile(filepath.Join(root, "docs", name))
		if err != nil {
			t.Error(err)
		} else if string(got) != want {
			t.Errorf("docs/%s is stale: run `go run ./cmd/nexo docs docs`", name)
		}
	}
}

// allowedImports says what each package may import besides the standard library; "*" stands for what is below. Tests are
// free.
var allowedImports = map[string][]string{
	"aof":                   {"github.com/tidwall/wal", module + "/brokers/latency"},
	"resp":                  {"github.com/tidwall/redcon"},
	"brokers":               {},
	"brokers/*":             {"github.com/tidwall/btree", module + "/brokers"},
	"brokers/store":         {"github.com/tidwall/btree", module + "/brokers", module + "/brokers/store/slab"},
	"brokers/store/*":       {},
	"brokers/stream":        {"github.com/tidwall/btree", module + "/brokers", module + "/brokers/stream/segment"},
	"brokers/stream/*":      {},
	"commands":              {module + "/resp", module + "/brokers", module + "/brokers/latency"},
	"commands/keyspace":     {module + "/commands", module + "/resp", module + "/brokers", module + "/brokers/store"},
	"commands/streams":      {module + "/commands", module + "/resp", module + "/brokers", module + "/brokers/stream"},
	"commands/queues":       {module + "/commands", module + "/resp", module + "/brokers", module + "/brokers/queue"},
	"commands/bus":          {module + "/commands", module + "/resp", module + "/brokers", module + "/brokers/pubsub"},
	"commands/server":       {module + "/commands", module + "/resp", module + "/brokers"},
	"commands/commandstest": {module + "/commands", module + "/commands/*", module + "/resp", module + "/brokers", module + "/brokers/*"},
	"ui":                    {"github.com/gorilla/websocket"},
	"ui/codec":              {},
	"cmd/nexo":              {"github.com/urfave/cli/v2", "github.com/BurntSushi/toml", module + "/*"},
	"cmd/nexo/processtest":  {},
	"scripts/benchmark":     {},
}

type listedPackage struct {
	ImportPath, Name, Doc string
	Imports               []string
	GoFiles               []string
}

func listPackages(t *testing.T) (packages []listedPackage) {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,Name,Doc,Imports,GoFiles", "./...")
	command.Dir = root
	var problems bytes.Buffer
	command.Stderr = &problems
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, problems.String())
	}
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p listedPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) < len(allowedImports) {
		t.Fatalf("go list found only %d packages", len(packages))
	}
	return packages
}

func importRule(name string) (allowed []string, found bool) {
	if allowed, found = allowedImports[name]; !found {
		allowed, found = allowedImports[filepath.ToSlash(filepath.Dir(name))+"/*"]
	}
	return allowed, found
}

func importAllowed(path string, allowed []string) bool {
	if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
		return true // the standard library
	}
	return slices.ContainsFunc(allowed, func(rule string) bool {
		below, wild := strings.CutSuffix(rule, "*")
		return path == rule || wild && strings.HasPrefix(path, below)
	})
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if len(p.GoFiles) == 0 {
			continue // tests alone
		}
		allowed, found := importRule(name)
		if !found {
			t.Errorf("%s has no rule: add it to allowedImports", name)
		}
		for _, path := range p.Imports {
			if !importAllowed(path, allowed) {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}

func TestPackagesAreDocumentedAndNamed(t *testing.T) {
	for _, p := range listPackages(t) {
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package doc", p.ImportPath)
		}
		if slices.Contains([]string{"util", "utils", "common", "helpers", "helper", "misc"}, p.Name) {
			t.Errorf("%s: the name says nothing of what the package does", p.ImportPath)
		}
	}
}

func TestFilesAreReadable(t *testing.T) {
	const linesMax = 700
	files := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); path != root && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "data" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		files++
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if lines := bytes.Count(content, []byte("\n")); lines > linesMax {
			t.Errorf("%s has %d lines, more than %d", path, lines, linesMax)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Fatalf("only %d Go files were found", files)
	}
}

func TestDependenciesAreExplained(t *testing.T) {
	modules, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, line := range strings.Split(string(modules), "\n") {
		words := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(words) < 2 || !strings.Contains(words[0], "/") || !strings.HasPrefix(words[1], "v") {
			continue
		}
		found++
		if row := "| " + words[0] + " | " + strings.TrimPrefix(words[1], "v") + " |"; !strings.Contains(string(document), row) {
			t.Errorf("docs/dependencies.md has no row %q", row)
		}
	}
	if found == 0 {
		t.Fatal("no module was found in go.mod")
	}
}
