package commands

import "strings"

// Argument describes one argument for COMMAND DOCS, as Redis' command arguments do.
type Argument struct {
	Name      string
	Type      string // string integer double key pattern unix-time pure-token oneof block
	Token     string // the option word in front, e.g. BLOCK; of a pure-token the word itself
	Optional  bool
	Multiple  bool
	Arguments []Argument // of a oneof or block
}

// Word is an argument that is always there.
func Word(name, kind string) Argument { return Argument{Name: name, Type: kind} }

// Option is a word with a value behind it, which may be left out.
func Option(token, name, kind string) Argument {
	return Argument{Name: name, Type: kind, Token: token, Optional: true}
}

// Toggle is a word that may be left out.
func Toggle(token string) Argument {
	return Argument{Name: token, Type: "pure-token", Token: token, Optional: true}
}

// Many is an argument that may be given several times.
func Many(a Argument) Argument {
	a.Multiple = true
	return a
}

// Choice is a choice of words, behind a token when there is one.
func Choice(token, name string, words ...string) Argument {
	a := Argument{Name: name, Type: "oneof", Token: token, Optional: true}
	for _, w := range words {
		a.Arguments = append(a.Arguments, Argument{Name: w, Type: "pure-token", Token: w})
	}
	return a
}

// Token is a word by itself.
func Token(word, name string) Argument {
	return Argument{Name: name, Type: "pure-token", Token: word}
}

// Optional lets an argument be left out.
func Optional(a Argument) Argument {
	a.Optional = true
	return a
}

// OneOf is a choice that may be left out.
func OneOf(name string, choices ...Argument) Argument {
	return Argument{Name: name, Type: "oneof", Optional: true, Arguments: choices}
}

// OneWord is a choice of words, named after the first.
func OneWord(words ...string) Argument {
	choice := Argument{Name: strings.ToLower(words[0]), Type: "oneof"}
	for _, word := range words {
		choice.Arguments = append(choice.Arguments, Token(word, strings.ToLower(word)))
	}
	return choice
}
