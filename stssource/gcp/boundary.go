package gcp

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// AccessBoundary is an upper limit of what a token permits. It takes
// permissions away and never adds any. Only Cloud Storage supports it, for
// buckets with uniform bucket-level access; with other services such a token
// permits nothing.
//
// It encodes as JSON as the API reference has it, in at most 2,048 characters.
// See https://cloud.google.com/iam/docs/downscoping-short-lived-credentials.
type AccessBoundary struct {
	// Rules are 1 to 10 rules, of which one has to permit what is done.
	Rules []AccessBoundaryRule `json:"accessBoundaryRules"`
}

// AccessBoundaryRule permits something on one resource.
type AccessBoundaryRule struct {
	// AvailableResource is the full resource name of a bucket, such as
	// //storage.googleapis.com/projects/_/buckets/my-bucket. Required.
	AvailableResource string `json:"availableResource"`

	// AvailablePermissions are the roles whose permissions are left, each as
	// "inRole:" and the name of the role, such as
	// inRole:roles/storage.objectViewer. At least one is required.
	AvailablePermissions []string `json:"availablePermissions"`

	// AvailabilityCondition restricts the rule further. If nil, nothing does.
	AvailabilityCondition *AvailabilityCondition `json:"availabilityCondition,omitempty"`
}

// AvailabilityCondition is a condition for a rule to apply.
type AvailabilityCondition struct {
	// Expression is written in the Common Expression Language, in at most 2,048
	// characters. Required. A value from outside must be quoted as a CEL string
	// before it is put into it, or it may widen the rule.
	Expression string `json:"expression"`

	// Title is a short name for people. If empty, there is none.
	Title string `json:"title,omitempty"`

	// Description is a longer text for people. If empty, there is none.
	Description string `json:"description,omitempty"`

	// Location says where the expression comes from, such as a file, for error
	// reports. If empty, they do not say.
	Location string `json:"location,omitempty"`
}

// Limits of the API reference. The last two are in characters.
const (
	maxRules      = 10
	maxExpression = 2048
	maxBoundary   = 2048
)

// Validate reports all that is wrong with b, joined by [errors.Join].
func (b AccessBoundary) Validate() error {
	if err := errors.Join(b.check().errors()...); err != nil {
		return fmt.Errorf("gcp: invalid AccessBoundary: %w", err)
	}
	return nil
}

func (b AccessBoundary) check() mistakes {
	var wrong mistakes
	if n := len(b.Rules); n < 1 || n > maxRules {
		wrong.add("Rules", "there are %d, and there must be 1 to %d", n, maxRules)
	}
	for i, rule := range b.Rules {
		rule.check(&wrong, fmt.Sprintf("Rules[%d]", i))
	}
	text, _ := encodeJSON(b) // strings always encode
	if n := utf8.RuneCountInString(text); n > maxBoundary {
		wrong.add("Rules", "have %d characters as JSON, and %d is the most", n, maxBoundary)
	}
	return wrong
}

func (r AccessBoundaryRule) check(wrong *mistakes, rule string) {
	wrong.join(rule, prefix("availableResource", checkResource(r.AvailableResource)))
	if len(r.AvailablePermissions) == 0 {
		wrong.add(rule, "availablePermissions are missing")
	}
	for i, p := range r.AvailablePermissions {
		wrong.join(rule, prefix(fmt.Sprintf("availablePermissions[%d]", i), checkPermission(p)))
	}
	if c := r.AvailabilityCondition; c != nil {
		wrong.join(rule, prefix("availabilityCondition", checkExpression(c.Expression)))
	}
}

func prefix(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %w", name, err)
}

// resource is a full resource name, permission a role, which is the only kind
// of permission there is.
var (
	resource   = regexp.MustCompile(`^//[a-z0-9-]+(\.[a-z0-9-]+)+/[^\s/]\S*$`)
	permission = regexp.MustCompile(`^inRole:((organizations|projects)/[^/\s]+/)?roles/[^/\s]+$`)
)

func checkResource(name string) error {
	const want = "//storage.googleapis.com/projects/_/buckets/BUCKET"
	switch {
	case name == "":
		return errors.New("is empty: set it to a full resource name, such as " + want)
	case !resource.MatchString(name):
		return fmt.Errorf("%.200q is not a full resource name, such as %s", name, want)
	}
	return nil
}

func checkPermission(p string) error {
	switch {
	case strings.TrimSpace(p) == "":
		return errors.New("is empty: set it to inRole: and a role, such as inRole:roles/storage.objectViewer")
	case !permission.MatchString(p):
		return fmt.Errorf("%.200q is not inRole: and a role, such as inRole:roles/storage.objectViewer", p)
	}
	return nil
}

func checkExpression(e string) error {
	if strings.TrimSpace(e) == "" {
		return errors.New("has no expression: set one, or leave the condition out")
	}
	if n := utf8.RuneCountInString(e); n > maxExpression {
		return fmt.Errorf("has an expression of %d characters, and %d is the most", n, maxExpression)
	}
	return nil
}
