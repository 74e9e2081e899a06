package ststest

import (
	"regexp"
	"slices"
)

// checkGoogleToken is the token logic: its refusals have the shape of RFC
// 6749.
func checkGoogleToken(c *call) *refusal {
	return first(c,
		checkValues,
		checkGoogleClient,
		checkGrantType,
		checkGoogleRequestedType,
		checkGoogleSubject,
		checkGoogleActor,
		checkOptions,
		checkGoogleTarget,
		checkScope,
	)
}

// checkGoogleClient runs where checkNoAuthorization has let a client through.
func checkGoogleClient(c *call) *refusal {
	switch {
	case c.service.ClientID == "":
		return nil
	case c.Header.Get("Authorization") == "":
		return invalidClient("client authentication is missing")
	}
	return checkBasic(c)
}

func checkGoogleRequestedType(c *call) *refusal {
	switch c.Params.Get("requested_token_type") {
	case "":
		return refuse("requested_token_type is missing")
	case typeAccessToken:
		return nil
	case typeIntermediary:
		if !c.beta {
			return nil
		}
	}
	return refuse("requested_token_type is not one that this version issues")
}

func checkGoogleSubject(c *call) *refusal {
	if !c.Params.Has("subject_token") {
		return refuse("subject_token is missing")
	}
	switch c.Params.Get("subject_token_type") {
	case "":
		return refuse("subject_token_type is missing")
	case tokenType + "jwt", tokenType + "id_token", typeAccessToken, typeAWS:
		return nil
	case tokenType + "mtls", tokenType + "saml2":
		if !c.beta {
			return nil
		}
	}
	return refuse("subject_token_type is not one that this version takes")
}

// checkGoogleActor matters to v1 only: v1beta has no such fields.
func checkGoogleActor(c *call) *refusal {
	if c.Params.Has("actor_token") != c.Params.Has("actor_token_type") {
		return refuse("actor_token and actor_token_type must be there together")
	}
	actorTypes := []string{"", tokenType + "jwt", tokenType + "id_token"}
	if !slices.Contains(actorTypes, c.Params.Get("actor_token_type")) {
		return refuse("actor_token_type must be that of a JWT or of an ID token")
	}
	return nil
}

// checkGoogleTarget knows two kinds of exchange. One restricts an access token
// that already has its scopes; the other is the federation of an external
// credential, for which the audience names the provider.
func checkGoogleTarget(c *call) *refusal {
	restricts := c.Params.Get("subject_token_type") == typeAccessToken && c.hasBoundary()
	intermediary := c.Params.Get("requested_token_type") == typeIntermediary
	for _, name := range []string{"audience", "scope"} {
		switch has := c.Params.Has(name); {
		case has && (restricts || intermediary):
			return refuse("%s must not be there when an access token is restricted", name)
		case !has && !restricts && !intermediary:
			return refuse("%s is missing", name)
		}
	}
	if intermediary {
		return checkIntermediary(c)
	}
	if !restricts && !c.isProvider(c.Params.Get("audience")) {
		return refuse("audience must be the full resource name of a provider, //iam.googleapis.com/...")
	}
	return nil
}

// checkIntermediary is for boundaries that the client adds by itself: none is
// sent.
func checkIntermediary(c *call) *refusal {
	if c.Params.Get("subject_token_type") != typeAccessToken {
		return refuse("subject_token_type must be that of an access token for an intermediary token")
	}
	if c.hasBoundary() {
		return refuse("options must not have an accessBoundary for an intermediary token")
	}
	return nil
}

var (
	workloadProvider  = regexp.MustCompile(`^//iam\.googleapis\.com/projects/[^/]+/locations/global/workloadIdentityPools/[^/]+/providers/[^/]+$`)
	workforceProvider = regexp.MustCompile(`^//iam\.googleapis\.com/locations/global/workforcePools/[^/]+/providers/[^/]+$`)

	// fleetProvider is of a pool that a Google Kubernetes Engine fleet brings
	// along.
	fleetProvider = regexp.MustCompile(`^identitynamespace:[^:]+:.+$`)
)

func (c *call) isProvider(audience string) bool {
	return workloadProvider.MatchString(audience) || fleetProvider.MatchString(audience) || !c.beta && workforceProvider.MatchString(audience)
}
