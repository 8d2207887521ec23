package auth

import (
	"net/http"
	"net/url"
	"strings"
)

// tokenParam is where moq-dev's clients put the token, because a browser cannot
// set headers on a WebTransport request.
const tokenParam = "jwt"

// BearerToken returns the token of an "Authorization: Bearer" header, empty if
// there is none or more than one. RFC 6750, Section 2.1.
func BearerToken(h http.Header) string {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// QueryToken returns the token of a "?jwt=" parameter, empty if there is none
// or more than one.
func QueryToken(u *url.URL) string {
	values := u.Query()[tokenParam]
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

// RedactURL returns u for a log: without a token or password in it.
func RedactURL(u *url.URL) string {
	shown := *u
	q := shown.Query()
	for _, name := range []string{tokenParam, "token", "access_token"} {
		if q.Has(name) {
			q.Set(name, redacted)
		}
	}
	shown.RawQuery = q.Encode()
	return shown.Redacted()
}
