package safehttp

import (
	"net/url"
	"strings"
)

// Cause returns err without the *url.Error, or several, that net/http and net/url
// put around a cause: their messages hold the whole URL, query and all. What
// others have added around one is kept.
func Cause(err error) error {
	urls, causes := split(err)
	if len(urls) == 0 {
		return err
	}
	text := err.Error()
	for _, e := range urls {
		text = strings.ReplaceAll(text, e.Error(), e.Err.Error())
	}
	if len(causes) == 1 && text == causes[0].Error() {
		return causes[0]
	}
	return &reworded{text, causes}
}

// split returns each *url.Error in the tree of err, the outer ones first, and
// those branches of it that have none.
func split(err error) (urls []*url.Error, causes []error) {
	if e, ok := err.(*url.Error); ok {
		urls = append(urls, e)
	}
	var branches []error
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		branches = append(branches, e.Unwrap())
	case interface{ Unwrap() []error }:
		branches = e.Unwrap()
	}
	for _, branch := range branches {
		u, c := split(branch)
		urls, causes = append(urls, u...), append(causes, c...)
	}
	if len(urls) == 0 && err != nil {
		causes = []error{err}
	}
	return urls, causes
}

// reworded is an error with other words.
type reworded struct {
	text   string
	causes []error
}

func (r *reworded) Error() string   { return r.text }
func (r *reworded) Unwrap() []error { return r.causes }
