package main

import (
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// goFile is one Go file of the house.
type goFile struct {
	path    string // from the root
	content []byte
	file    *ast.File
}

func (s *goFile) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// forTests tells whether a package serves tests alone.
func (s *goFile) forTests() bool {
	return slices.ContainsFunc([]string{"commands/commandstest/", "brokers/brokertest/", "cmd/nexo/processtest/"},
		func(below string) bool { return strings.HasPrefix(s.path, below) })
}

func readSources(t *testing.T) (*token.FileSet, []goFile) {
	t.Helper()
	files := token.NewFileSet()
	var all []goFile
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "data" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(files, path, content, parser.ParseComments)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		all = append(all, goFile{filepath.ToSlash(relative), content, file})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 100 {
		t.Fatalf("only %d Go files were found", len(all))
	}
	return files, all
}

// TestLinesFitTheScreen: what is inside a raw string is data and may be longer.
func TestLinesFitTheScreen(t *testing.T) {
	const columnsMax = 140
	held := []string{"commands/", "cmd/"} // the directories that keep to it
	_, all := readSources(t)
	for _, one := range all {
		if !slices.ContainsFunc(held, func(below string) bool { return strings.HasPrefix(one.path, below) }) {
			continue
		}
		data := rawLines(one.content)
		for i, line := range strings.Split(string(one.content), "\n") {
			if n := utf8.RuneCountInString(line); n > columnsMax && !data[i+1] {
				t.Errorf("%s:%d has %d columns, more than %d", one.path, i+1, n, columnsMax)
			}
		}
	}
}

// rawLines are the lines, from 1, that a raw string touches.
func rawLines(content []byte) map[int]bool {
	lines := map[int]bool{}
	files := token.NewFileSet()
	file := files.AddFile("", files.Base(), len(content))
	var scan scanner.Scanner
	scan.Init(file, content, nil, 0)
	for {
		at, kind, text := scan.Scan()
		if kind == token.EOF {
			return lines
		}
		if kind == token.STRING && text[0] == '`' {
			first := file.Line(at)
			for line := range strings.Count(text, "\n") + 1 {
				lines[first+line] = true
			}
		}
	}
}

// TestFunctionsFitTheScreen: tables do not count, which are literals and the functions that fill one.
func TestFunctionsFitTheScreen(t *testing.T) {
	const linesMax = 70
	tables := []string{"changeRoutes"}
	files, all := readSources(t)
	lines := func(n ast.Node) int { return files.Position(n.End()).Line - files.Position(n.Pos()).Line }
	for _, one := range all {
		for _, declared := range one.file.Decls {
			function, ok := declared.(*ast.FuncDecl)
			if !ok || one.isTest() || function.Body == nil || slices.Contains(tables, function.Name.Name) {
				continue
			}
			long := lines(function) + 1
			ast.Inspect(function.Body, func(n ast.Node) bool {
				if literal, ok := n.(*ast.CompositeLit); ok {
					long -= lines(literal)
					return false
				}
				return true
			})
			if long > linesMax {
				t.Errorf("%s: %s has %d lines, more than %d", one.path, function.Name.Name, long, linesMax)
			}
		}
	}
}

// TestExportedNamesAreUsed: an exported name that no source but tests says is either dead or a door for tests. Methods that the
// standard library calls are known by their names.
func TestExportedNamesAreUsed(t *testing.T) {
	called := []string{"Unwrap", "MarshalJSON"}
	_, all := readSources(t)
	said, inTests := map[string]bool{}, map[string]bool{}
	exported := map[string]string{} // the file by name
	for _, one := range all {
		declared := map[*ast.Ident]bool{}
		if !one.isTest() && !one.forTests() {
			for _, name := range declaredNames(one.file) {
				declared[name] = true
				if name.IsExported() && !slices.Contains(called, name.Name) {
					exported[name.Name] = one.path
				}
			}
		}
		ast.Inspect(one.file, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok && !declared[name] {
				if one.isTest() || one.forTests() {
					inTests[name.Name] = true
				} else {
					said[name.Name] = true
				}
			}
			return true
		})
	}
	if len(exported) < 500 {
		t.Fatalf("only %d exported names were found", len(exported))
	}
	for name, path := range exported {
		if !said[name] && inTests[name] {
			t.Errorf("%s exports %s for tests alone", path, name)
		}
	}
}

// declaredNames are those of a file's functions, methods, types, variables and constants.
func declaredNames(file *ast.File) (names []*ast.Ident) {
	for _, declared := range file.Decls {
		switch declared := declared.(type) {
		case *ast.FuncDecl:
			names = append(names, declared.Name)
		case *ast.GenDecl:
			for _, spec := range declared.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					names = append(names, spec.Name)
				case *ast.ValueSpec:
					names = append(names, spec.Names...)
				}
			}
		}
	}
	return names
}
