package whipclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"trellis/edge/whip/sdpfrag"
)

const (
	sdpType      = "application/sdp"
	fragType     = "application/trickle-ice-sdpfrag"
	problemType  = "application/problem+json"
	maxBody      = 256 << 10
	maxRedirects = 5
)

// StatusError is a refusal by the server.
type StatusError struct {
	Status int
	// Title and Detail come from a problem body (RFC 9457), if there was one.
	Title, Detail string
	// RetryAfter is when the server wants to be asked again, zero if it did not say.
	RetryAfter time.Duration
	// Alternate is the same endpoint at another node that the server names, empty
	// if it does not.
	Alternate string
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("server answered %d %s", e.Status, http.StatusText(e.Status))
	if e.Title != "" {
		s += ": " + e.Title
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// resource is a session at the server, as its answer describes it.
type resource struct {
	url    string
	etag   string
	answer string
}

// post sends an offer and follows redirects: RFC 9725, Section 4.5 wants that
// before a resource exists. The token goes along, for a redirect leads to
// another node of the same operator.
func (c Config) post(ctx context.Context, offer string) (resource, error) {
	target := c.URL
	for range maxRedirects {
		resp, err := c.do(ctx, http.MethodPost, target, sdpType, []byte(offer))
		if err != nil {
			return resource{}, err
		}
		body, err := readBody(resp)
		if err != nil {
			return resource{}, fmt.Errorf("read answer of %s: %w", target, err)
		}
		location, locErr := resolve(target, resp.Header.Get("Location"))
		switch resp.StatusCode {
		case http.StatusCreated:
			if locErr != nil {
				return resource{}, fmt.Errorf("answer of %s: %w", target, locErr)
			}
			return resource{url: location, etag: resp.Header.Get("ETag"), answer: string(body)}, nil
		case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
			if locErr != nil {
				return resource{}, fmt.Errorf("redirect of %s: %w", target, locErr)
			}
			target = location
		default:
			return resource{}, statusError(resp, body)
		}
	}
	return resource{}, fmt.Errorf("post %s: more than %d redirects", c.URL, maxRedirects)
}

// delete ends the session at the server. One that is gone already is no error.
func (c Config) delete(ctx context.Context, r resource) error {
	resp, err := c.do(ctx, http.MethodDelete, r.url, "", nil)
	if err != nil {
		return err
	}
	body, err := readBody(resp)
	switch {
	case err != nil:
		return fmt.Errorf("read answer of %s: %w", r.url, err)
	case resp.StatusCode/100 == 2, resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusGone:
		return nil
	}
	return statusError(resp, body)
}

// restart sends new ICE credentials and returns those of the server, with the
// new ETag in r: RFC 9725, Section 4.3.3.
func (c Config) restart(ctx context.Context, r *resource, f sdpfrag.Fragment) (sdpfrag.Fragment, error) {
	resp, err := c.do(ctx, http.MethodPatch, r.url, fragType, f.Append(nil))
	if err != nil {
		return sdpfrag.Fragment{}, err
	}
	body, err := readBody(resp)
	if err != nil {
		return sdpfrag.Fragment{}, fmt.Errorf("read answer of %s: %w", r.url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return sdpfrag.Fragment{}, statusError(resp, body)
	}
	r.etag = resp.Header.Get("ETag")
	return sdpfrag.Parse(string(body))
}

func (c Config) do(ctx context.Context, method, target, contentType string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Accept", contentType)
	}
	if method == http.MethodPatch {
		req.Header.Set("If-Match", "*")
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	client := *c.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client.Do(req)
}

func readBody(resp *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	err = errors.Join(err, resp.Body.Close())
	if err == nil && len(body) > maxBody {
		err = fmt.Errorf("more than %d bytes", maxBody)
	}
	return body, err
}

func resolve(base, location string) (string, error) {
	if location == "" {
		return "", errors.New("no Location header")
	}
	b, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	u, err := b.Parse(location)
	if err != nil {
		return "", err
	}
	if u.Scheme != b.Scheme {
		return "", fmt.Errorf("location %q changes the scheme", location)
	}
	return u.String(), nil
}

func statusError(resp *http.Response, body []byte) error {
	e := &StatusError{Status: resp.StatusCode}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	if target, ok := alternate(resp.Header.Values("Link")); ok {
		if u, err := resolve(resp.Request.URL.String(), target); err == nil {
			e.Alternate = u
		}
	}
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && t == problemType {
		var p struct{ Title, Detail string }
		if err := json.Unmarshal(body, &p); err == nil {
			e.Title, e.Detail = p.Title, p.Detail
		}
	}
	return e
}

// alternate finds the target of the first link of relation "alternate". RFC 8288,
// Section 3; of its syntax, what such links use.
func alternate(links []string) (string, bool) {
	for _, line := range links {
		for item := range strings.SplitSeq(line, ",") {
			target, params, _ := strings.Cut(strings.TrimSpace(item), ">")
			target, ok := strings.CutPrefix(target, "<")
			if !ok {
				continue
			}
			for param := range strings.SplitSeq(params, ";") {
				name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
				if strings.EqualFold(name, "rel") && strings.EqualFold(strings.Trim(value, `"`), "alternate") {
					return target, true
				}
			}
		}
	}
	return "", false
}
