package gcp_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/go-sts/sts/stssource/gcp"
)

func TestBoundaryValidate(t *testing.T) {
	rule := func(change func(*gcp.AccessBoundaryRule)) gcp.AccessBoundary {
		b := *oneRule()
		change(&b.Rules[0])
		return b
	}
	resource := func(name string) gcp.AccessBoundary {
		return rule(func(r *gcp.AccessBoundaryRule) { r.AvailableResource = name })
	}
	permissions := func(p ...string) gcp.AccessBoundary {
		return rule(func(r *gcp.AccessBoundaryRule) { r.AvailablePermissions = p })
	}
	condition := func(expression string) gcp.AccessBoundary {
		return rule(func(r *gcp.AccessBoundaryRule) {
			r.AvailabilityCondition = &gcp.AvailabilityCondition{Expression: expression}
		})
	}
	for _, tt := range []struct {
		name string
		b    gcp.AccessBoundary
		want string // empty: no error
	}{
		{"one rule", *oneRule(), ""},
		{"role of an organization", permissions("inRole:organizations/1/roles/custom"), ""},
		{"role of a project", permissions("inRole:projects/p/roles/custom", viewer), ""},
		{"condition", condition("true"), ""},
		{"no rules", gcp.AccessBoundary{}, "Rules: there are 0, and there must be 1 to 10"},
		{"bucket name", resource("my-bucket"), `Rules[0]: availableResource "my-bucket" is not a full resource name, such as //storage.googleapis.com/projects/_/buckets/BUCKET`},
		{"bucket as gsutil has it", resource("gs://my-bucket"), "is not a full resource name"},
		{"no path", resource("//storage.googleapis.com/"), "is not a full resource name"},
		{"no host", resource("///projects/_/buckets/b"), "is not a full resource name"},
		{"with a scheme", resource("https:" + bucket), "is not a full resource name"},
		{"with a space", resource(bucket + " x"), "is not a full resource name"},
		{"role without inRole", permissions(viewer, "roles/storage.admin"), `Rules[0]: availablePermissions[1] "roles/storage.admin" is not inRole: and a role`},
		{"a permission", permissions("storage.objects.get"), "availablePermissions[0]"},
		{"inRole of nothing", permissions("inRole:"), "availablePermissions[0]"},
		{"role with a space", permissions("inRole:roles/a b"), "availablePermissions[0]"},
		{"empty condition", condition(" "), "Rules[0]: availabilityCondition has no expression: set one, or leave the condition out"},
		{"long expression", condition(strings.Repeat("x", 2049)), "Rules[0]: availabilityCondition has an expression of 2049 characters, and 2048 is the most"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.b.Validate()
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			checkMentions(t, err, "gcp: invalid AccessBoundary: ", tt.want)
		})
	}
}

func TestBoundaryTellsAllMistakes(t *testing.T) {
	err := gcp.AccessBoundary{Rules: []gcp.AccessBoundaryRule{
		{AvailableResource: "x"},
		{AvailableResource: bucket, AvailablePermissions: []string{"", "y"}, AvailabilityCondition: &gcp.AvailabilityCondition{}},
	}}.Validate()
	checkMentions(t, err, `Rules[0]: availableResource "x"`, "Rules[0]: availablePermissions are missing",
		"Rules[1]: availablePermissions[0] is empty", `Rules[1]: availablePermissions[1] "y"`, "Rules[1]: availabilityCondition has no expression")
	if strings.Contains(err.Error(), "Rules[1]: availableResource") {
		t.Errorf("a mistake that was not made: %v", err)
	}
}

// The limit is on the JSON as it is sent, in characters.
func TestBoundarySize(t *testing.T) {
	size := func(n int, fill string) error {
		b := *oneRule()
		b.Rules[0].AvailabilityCondition = &gcp.AvailabilityCondition{Expression: "e"}
		empty, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		b.Rules[0].AvailabilityCondition.Expression = "e" + strings.Repeat(fill, n-len(empty))
		return b.Validate()
	}
	for _, fill := range []string{"x", "<", "&", "é", "😀"} {
		if err := size(2048, fill); err != nil {
			t.Errorf("2048 characters of %q: %v", fill, err)
		}
		checkMentions(t, size(2049, fill), "Rules: have 2049 characters as JSON, and 2048 is the most")
	}
}

// An expression of the most characters leaves no room for the rest of the
// boundary, which is what is then said.
func TestLongestExpression(t *testing.T) {
	b := *oneRule()
	b.Rules[0].AvailabilityCondition = &gcp.AvailabilityCondition{Expression: strings.Repeat("x", 2048)}
	err := b.Validate()
	checkMentions(t, err, "Rules: have ", "2048 is the most")
	if strings.Contains(err.Error(), "has an expression of") {
		t.Error(err)
	}
}

func ExampleAccessBoundary_Validate() {
	err := gcp.AccessBoundary{Rules: []gcp.AccessBoundaryRule{
		{AvailableResource: "my-bucket", AvailablePermissions: []string{"roles/storage.objectViewer"}},
	}}.Validate()
	fmt.Println(err)
	// Output:
	// gcp: invalid AccessBoundary: Rules[0]: availableResource "my-bucket" is not a full resource name, such as //storage.googleapis.com/projects/_/buckets/BUCKET
	// Rules[0]: availablePermissions[0] "roles/storage.objectViewer" is not inRole: and a role, such as inRole:roles/storage.objectViewer
}
