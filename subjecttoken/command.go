package subjecttoken

import (
	"errors"
	"strings"
)

// ParseCommand splits a command line, such as one from a credential file, into
// a program and its arguments for [Exec]. It is no shell: white space separates
// arguments, quotes protect it, and everything else is taken literally.
// Variables, "~" and wildcards are not expanded, and "|", ";", "&", "<" and ">"
// are plain characters.
//
// Between single quotes, every character stands for itself. Between double
// quotes, a backslash escapes a double quote or a backslash. Outside of quotes,
// it escapes a quote, a backslash or white space. Before any other character a
// backslash stands for itself, so that C:\tools\get-token.exe needs no quotes.
//
// A command that is blank, or has a quote without an end or a NUL byte, is an
// error. Errors do not show the command, which may hold secrets.
func ParseCommand(command string) ([]string, error) {
	if strings.ContainsRune(command, 0) {
		return nil, errors.New("the command has a NUL byte")
	}
	var args []string
	for rest := skipSpace(command); rest != ""; rest = skipSpace(rest) {
		var arg string
		var err error
		if arg, rest, err = nextArg(rest); err != nil {
			return nil, err
		}
		args = append(args, arg)
	}
	if len(args) == 0 || strings.TrimSpace(args[0]) == "" {
		return nil, errors.New("the command is blank: it needs the name of a program")
	}
	return args, nil
}

const (
	space       = " \t\r\n"
	escapable   = `\'"` + space // outside of quotes
	escapableIn = `\"`          // between double quotes
)

func skipSpace(s string) string { return strings.TrimLeft(s, space) }

// nextArg reads an argument from the beginning of s, which is not empty.
func nextArg(s string) (arg, rest string, err error) {
	var b strings.Builder
	for s != "" && !strings.ContainsRune(space, rune(s[0])) {
		var part string
		switch s[0] {
		case '\'':
			part, s, err = singleQuoted(s[1:])
		case '"':
			part, s, err = doubleQuoted(s[1:])
		default:
			part, s = unquoted(s, escapable)
		}
		if err != nil {
			return "", "", err
		}
		b.WriteString(part)
	}
	return b.String(), s, nil
}

func singleQuoted(s string) (part, rest string, err error) {
	part, rest, ok := strings.Cut(s, "'")
	if !ok {
		return "", "", errors.New("the command has a single quote without an end")
	}
	return part, rest, nil
}

func doubleQuoted(s string) (part, rest string, err error) {
	var b strings.Builder
	for s != "" {
		if s[0] == '"' {
			return b.String(), s[1:], nil
		}
		part, s = unquoted(s, escapableIn)
		b.WriteString(part)
	}
	return "", "", errors.New("the command has a double quote without an end")
}

// unquoted takes one byte from s, or one that a backslash escapes.
func unquoted(s, escapable string) (part, rest string) {
	if s[0] == '\\' && len(s) > 1 && strings.IndexByte(escapable, s[1]) >= 0 {
		return s[1:2], s[2:]
	}
	return s[:1], s[1:]
}
