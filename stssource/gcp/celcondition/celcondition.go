// Package celcondition parses the conditions of access boundaries that are
// sealed by a [gcp.Downscoper]:
//
//	downscoper, err := gcp.NewDownscoper(source, gcp.DownscoperConfig{
//		ParseCondition: celcondition.Parse,
//	})
//
// It is a module of its own, since it needs a parser of the Common Expression
// Language (https://cel.dev), which a program without such conditions can do
// without. From a checkout of the library it is required and replaced as the
// README says for the library, by its own path and directory.
//
// [gcp.Downscoper]: https://pkg.go.dev/github.com/go-sts/sts/stssource/gcp#Downscoper
package celcondition

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"google.golang.org/protobuf/proto"
)

// environment is the standard one of the language. An expression is parsed
// without regard to what its names stand for, which the service knows that
// evaluates it.
var environment = sync.OnceValues(func() (*cel.Env, error) { return cel.NewEnv() })

// Parse returns the syntax tree of an expression, such as
//
//	resource.name.startsWith("projects/_/buckets/my-bucket/objects/customer-a/")
//
// as the wire form of the protocol buffer message
// google.api.expr.v1alpha1.Expr. The same expression has the same wire form. An
// error says where in the expression the mistake is; names and types are not
// checked. Several goroutines may call it at once.
func Parse(expression string) ([]byte, error) {
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("celcondition: %w", err)
	}
	ast, issues := env.Parse(expression)
	if issues.Err() != nil {
		return nil, mistakes(issues)
	}
	parsed, err := cel.AstToParsedExpr(ast)
	if err != nil {
		return nil, fmt.Errorf("celcondition: %w", err)
	}
	tree, err := proto.MarshalOptions{Deterministic: true}.Marshal(parsed.GetExpr())
	if err != nil {
		return nil, fmt.Errorf("celcondition: %w", err)
	}
	return tree, nil
}

// mistakes returns what is wrong as one line. That of the library draws the
// expression, over several.
func mistakes(issues *cel.Issues) error {
	var texts []string
	for _, e := range issues.Errors() {
		texts = append(texts, fmt.Sprintf("line %d, column %d: %s", e.Location.Line(), e.Location.Column()+1, e.Message))
	}
	return errors.New("celcondition: " + strings.Join(texts, "; "))
}
