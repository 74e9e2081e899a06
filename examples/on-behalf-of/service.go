package main

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/subjecttoken"
)

// patience is how long a request waits for its token, if there is none. The
// exchange goes on after that, for whoever comes next.
const patience = 3 * time.Second

// service calls the API for its callers.
type service struct {
	api     string
	client  *http.Client // without authorization: that is each caller's own
	sources *sources
}

func newService(config stssource.Config, o options) (*service, error) {
	source := func(callerToken string) (*stssource.Source, error) {
		c := config
		c.SubjectToken = subjecttoken.Static{Value: callerToken, Type: subjecttoken.TypeAccessToken}
		return stssource.New(c)
	}
	if _, err := source("a-token-to-check-the-rest-with"); err != nil {
		return nil, err
	}
	return &service{
		api:     o.api,
		client:  &http.Client{Timeout: 30 * time.Second},
		sources: newSources(o.max, o.life, source),
	}, nil
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	scheme, callerToken, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	callerToken = strings.TrimSpace(callerToken)
	if !strings.EqualFold(scheme, "Bearer") || callerToken == "" {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "send an access token", http.StatusUnauthorized)
		return
	}
	e, err := s.sources.of(callerToken)
	if err != nil {
		http.Error(w, "this is no access token", http.StatusBadRequest) // the rest was checked at the start
		return
	}
	resp, err := s.call(r.Context(), e)
	if err != nil {
		s.fail(w, e, err)
		return
	}
	defer resp.Body.Close()
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	w.Header().Set("Cache-Control", "no-store") // it is for this caller alone
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

// call calls the API with a caller's rights. It waits for the token first: that
// has a limit of its own, and an error there is not the API's.
func (s *service) call(ctx context.Context, e *entry) (*http.Response, error) {
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := e.source.TokenContext(wait); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.api, nil)
	if err != nil {
		return nil, err
	}
	return e.source.Client(s.client).Do(req)
}

// fail tells a caller what to do about err: get another token, come again later,
// or nothing, as it is this service that is not set up right.
func (s *service) fail(w http.ResponseWriter, e *entry, err error) {
	tokenErr, ok := errors.AsType[*stssource.Error](err)
	switch {
	case ok && isRefusal(tokenErr):
		s.sources.refused(e)
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, "the token service does not accept your token", http.StatusUnauthorized)
	case ok && tokenErr.Temporary:
		w.Header().Set("Retry-After", retryAfter(tokenErr.NextAttempt))
		http.Error(w, "the token service does not answer as it should", http.StatusServiceUnavailable)
	case ok:
		http.Error(w, "this service gets no token for the API", http.StatusBadGateway)
	default:
		http.Error(w, "the API cannot be reached", http.StatusBadGateway)
	}
}

// isRefusal reports whether err is about the caller's token: that it has expired,
// or that the token service does not want it. RFC 8693 says invalid_request for
// that, most services invalid_grant, and some invalid_token.
func isRefusal(err *stssource.Error) bool {
	if err.Stage == stssource.StageSubjectToken {
		return true
	}
	return slices.Contains([]string{"invalid_grant", "invalid_token", "invalid_request", "access_denied"}, err.Code)
}

// retryAfter is when the token service is asked again, in seconds from now.
func retryAfter(next time.Time) string {
	return strconv.Itoa(max(1, int(math.Ceil(time.Until(next).Seconds()))))
}
