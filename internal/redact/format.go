package redact

import (
	"fmt"
	"io"
)

// Format prints text for every verb: it is what a type that holds a secret
// calls from its fmt.Formatter. Width, flags and verb are ignored, because
// each of them is a way to print a field.
func Format(f fmt.State, text string) { _, _ = io.WriteString(f, text) }

// Format keeps %#v from printing the cause.
func (h *hidden) Format(f fmt.State, _ rune) { Format(f, h.text) }
