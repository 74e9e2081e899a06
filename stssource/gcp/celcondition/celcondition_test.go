package celcondition_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"cel.dev/cel-go/cel"
	exprpb "google.golang.org/genproto/googleapis/api/expr/v1alpha1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/go-sts/sts/stssource/gcp/celcondition"
)

// The tree of a comparison, by hand: what calls what, and nothing about types.
func TestParse(t *testing.T) {
	const want = `call_expr: {
		target: { select_expr: { operand: { ident_expr: { name: "resource" } id: 1 } field: "name" } id: 2 }
		function: "startsWith"
		args: { const_expr: { string_value: "a/" } id: 4 }
	} id: 3`
	var wantTree exprpb.Expr
	if err := prototext.Unmarshal([]byte(want), &wantTree); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, `resource.name.startsWith("a/")`); !proto.Equal(&wantTree, got) {
		t.Errorf("got %v, want %v", got, &wantTree)
	}
}

func tree(t *testing.T, expression string) *exprpb.Expr {
	t.Helper()
	b, err := celcondition.Parse(expression)
	if err != nil {
		t.Fatal(err)
	}
	e := new(exprpb.Expr)
	if err := proto.Unmarshal(b, e); err != nil {
		t.Fatal(err)
	}
	return e
}

// What the language has is there when the tree is written out again.
func TestParseAndBack(t *testing.T) {
	for _, expression := range []string{
		`resource.name.startsWith("a") || api.getAttribute("storage.googleapis.com/objectListPrefix", "").startsWith("a")`,
		`resource.type == "storage.googleapis.com/Object" && !(resource.name in ["a", "b"])`,
		`(request.time < timestamp("2030-01-01T00:00:00Z")) ? ((1 + 2) * 3 > 4) : (-1.5 <= 2.5)`,
		`{"k": null}["k"] == null`,
	} {
		got, err := cel.AstToString(cel.ParsedExprToAst(&exprpb.ParsedExpr{Expr: tree(t, expression)}))
		if err != nil || got != expression {
			t.Errorf("got %s, %v, want %s", got, err, expression)
		}
	}
}

func TestParseMistakes(t *testing.T) {
	for _, tt := range []struct{ expression, want string }{
		{`resource.name.startsWith('x'`, "line 1, column 29: Syntax error: missing ')'"},
		{``, "Syntax error"},
		{`a &&`, "Syntax error"},
		{`'open`, "Syntax error"},
		{strings.Repeat("(", 1000) + "a" + strings.Repeat(")", 1000), "recursion"},
	} {
		b, err := celcondition.Parse(tt.expression)
		if err == nil || b != nil || !strings.HasPrefix(err.Error(), "celcondition: ") || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40s: %x, %v", tt.expression, b, err)
		}
	}
}

func TestParseIsSafeForConcurrentUse(t *testing.T) {
	const expression = `a.b == "c" && d(e)`
	want, err := celcondition.Parse(expression)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if got, err := celcondition.Parse(expression); err != nil || !bytes.Equal(want, got) {
					t.Errorf("got %x, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

func ExampleParse() {
	tree, err := celcondition.Parse(`resource.name.startsWith("projects/_/buckets/my-bucket/objects/customer-a/")`)
	fmt.Println(len(tree) > 0, err)
	_, err = celcondition.Parse(`resource.name.startsWith("customer-a/"`)
	fmt.Println(err)
	// Output:
	// true <nil>
	// celcondition: line 1, column 39: Syntax error: missing ')' at '<EOF>'
}
