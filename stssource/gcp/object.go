package gcp

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
)

// object is a JSON object in a credential file. What is wrong with a member is
// added to wrong, under the path that leads to it; values are not shown, as they
// may be secrets. A member that is null counts as absent.
type object struct {
	path    string // that of the object with a dot after it; empty at the top
	members map[string]any
	wrong   *mistakes
}

// decodeObject reads the object that is the whole file.
func decodeObject(data []byte, wrong *mistakes) (object, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // as some editors on Windows begin a file
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if len(bytes.TrimSpace(data)) == 0 {
		return object{}, errors.New("is empty: write it anew, as gcloud iam workload-identity-pools create-cred-config does")
	}
	var members map[string]any
	if err := d.Decode(&members); err != nil || members == nil {
		return object{}, errors.New("is not a JSON object")
	}
	if _, err := d.Token(); err != io.EOF {
		return object{}, errors.New("has more than one JSON object")
	}
	return object{members: members, wrong: wrong}, nil
}

// add adds a mistake, the first one alone of each member.
func (o object) add(name, format string, args ...any) {
	if !o.reported(name) {
		o.wrong.add(o.path+name, format, args...)
	}
}

func (o object) has(name string) bool { return o.members[name] != nil }

// text returns a member that is a string, empty if it is absent.
func (o object) text(name string) string {
	s, ok := o.members[name].(string)
	if !ok && o.has(name) {
		o.add(name, "is %s, not a string", kind(o.members[name]))
	}
	return s
}

// required is text for a member that must be there.
func (o object) required(name string) string {
	s := o.text(name)
	if s == "" {
		o.add(name, "is missing")
	}
	return s
}

func (o object) reported(name string) bool {
	return slices.ContainsFunc(*o.wrong, func(m mistake) bool { return m.field == o.path+name })
}

// whole returns a member that is a whole number.
func (o object) whole(name string) (n int64, ok bool) {
	if !o.has(name) {
		return 0, false
	}
	number, isNumber := o.members[name].(json.Number)
	n, err := number.Int64()
	if !isNumber {
		o.add(name, "is %s, not a number", kind(o.members[name]))
	} else if err != nil {
		o.add(name, "%.40s is not a whole number", number)
	}
	return n, isNumber && err == nil
}

// child returns a member that is an object.
func (o object) child(name string) (object, bool) {
	members, ok := o.members[name].(map[string]any)
	if !ok && o.has(name) {
		o.add(name, "is %s, not an object", kind(o.members[name]))
	}
	return object{path: o.path + name + ".", members: members, wrong: o.wrong}, ok
}

// names returns the members' names in order, so that errors are always alike.
func (o object) names() []string { return slices.Sorted(maps.Keys(o.members)) }

func kind(v any) string {
	switch v.(type) {
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case []any:
		return "an array"
	}
	return "an object"
}
