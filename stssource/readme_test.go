package stssource_test

import (
	"os"
	"strings"
	"testing"
)

// The program in the README is the body of Example, to the letter.
func TestReadmeShowsTheExample(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```go\n")
	program, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no program in the README")
	}
	var indented strings.Builder
	for line := range strings.Lines(program) {
		indented.WriteString("\t" + line)
	}
	if !strings.Contains(string(source), "func Example() {\n"+indented.String()) {
		t.Errorf("the program in the README is not the one in Example:\n%s", program)
	}
}
