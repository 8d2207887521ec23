package quality

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"trellis/internal/livekit"
)

//go:embed page
var pages embed.FS

// site serves the pages, takes what they tell, and passes WHIP and WHEP on to the
// server; in answers to the viewer the server's address is that of the path. At
// livekit-server pages do that themselves, for it trickles candidates over its
// WebSocket.
type site struct {
	url    string
	server *http.Server
	path   netip.AddrPort // of the proxy that a viewer must use
	record atomic.Pointer[recording]
	// publish and view are the addresses of the pages.
	publish, view string
}

// openSite opens the site for a server.
func (c *Config) openSite(server, base string, path netip.AddrPort) (*site, error) {
	target, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	files, err := fs.Sub(pages, "page")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	s := &site{path: path, server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}}
	mux.Handle("/", http.FileServerFS(files))
	mux.HandleFunc("POST /tell", s.take)
	if !isOurs(server) {
		installed, err := livekit.Find(c.LiveKit)
		if err != nil {
			return nil, err
		}
		mux.HandleFunc("GET /livekit-client.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, installed.Client) })
	} else {
		pass := &httputil.ReverseProxy{
			Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
			ModifyResponse: s.lead,
		}
		mux.Handle("/whip/", pass)
		mux.Handle("/whep/", pass)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // it does not block
	if err != nil {
		return nil, err
	}
	s.url = "http://" + l.Addr().String()
	if err := s.name(server, target, c); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	go func() { _ = s.server.Serve(l) }() // it ends with close
	return s, nil
}

// name works out the addresses of the pages.
func (s *site) name(server string, target *url.URL, c *Config) error {
	camera, err := json.Marshal(map[string]int{"width": cameraWidth, "height": cameraHeight, "rate": cameraRate})
	if err != nil {
		return err
	}
	all, err := json.Marshal(layers)
	if err != nil {
		return err
	}
	publish := url.Values{"camera": {string(camera)}, "layers": {string(all)}}
	if isOurs(server) {
		ours, err := json.Marshal(c.encodings())
		if err != nil {
			return err
		}
		publish = url.Values{"camera": {string(camera)}, "layers": {string(ours)}, "codec": {c.Codec}}
		publish.Set("url", "/whip/quality/picture")
		s.publish = s.url + "/publish.html?" + publish.Encode()
		view := url.Values{"url": {"/whep/quality/picture"}}
		if server == WithoutFEC {
			view.Set("without", "video/flexfec-03")
		}
		s.view = s.url + "/view.html?" + view.Encode()
		return nil
	}
	now := time.Now()
	publisher, err := livekit.Grant{Identity: "publisher", Room: "quality", Publish: true}.Token(now)
	if err != nil {
		return err
	}
	viewer, err := livekit.Grant{Identity: "viewer", Room: "quality"}.Token(now)
	if err != nil {
		return err
	}
	path, err := json.Marshal(map[string]any{"ip": s.path.Addr(), "port": s.path.Port()})
	if err != nil {
		return err
	}
	ws := "ws://" + target.Host
	publish.Set("url", ws)
	publish.Set("token", publisher)
	view := url.Values{"url": {ws}, "token": {viewer}, "path": {string(path)}}
	s.publish = s.url + "/livekit-publish.html?" + publish.Encode()
	s.view = s.url + "/livekit-view.html?" + view.Encode()
	return nil
}

func (s *site) close() error { return s.server.Close() }

// lead puts the path's address into an answer to a viewer, and takes TCP out.
func (s *site) lead(r *http.Response) error {
	if !strings.HasPrefix(r.Request.URL.Path, "/whep/") || r.Header.Get("Content-Type") != "application/sdp" {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	led := 0
	for line := range strings.Lines(string(body)) {
		rest, ok := strings.CutPrefix(line, "a=candidate:")
		if !ok {
			out.WriteString(line)
			continue
		}
		fields := strings.Fields(rest) // RFC 8839, Section 5.1
		if len(fields) < 8 || !strings.EqualFold(fields[2], "udp") {
			continue
		}
		fields[4], fields[5] = s.path.Addr().String(), strconv.Itoa(int(s.path.Port()))
		fmt.Fprintf(&out, "a=candidate:%s\r\n", strings.Join(fields, " "))
		led++
	}
	if led == 0 {
		return fmt.Errorf("no UDP candidate in the answer: the viewer would go around the path")
	}
	r.Body, r.ContentLength = io.NopCloser(&out), int64(out.Len())
	r.Header.Set("Content-Length", strconv.Itoa(out.Len()))
	return nil
}

// take takes what a page tells.
func (s *site) take(w http.ResponseWriter, r *http.Request) {
	rec := s.record.Load()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil || rec == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	switch r.URL.Query().Get("kind") {
	case "seen":
		var v seen
		if err = json.Unmarshal(body, &v); err == nil {
			rec.addSeen(v)
		}
	case "published":
		var p published
		if err = json.Unmarshal(body, &p); err == nil {
			rec.addPublished(p)
		}
	case "problem":
		rec.problem(string(body))
	}
	if err != nil {
		rec.problem(err.Error())
	}
	w.WriteHeader(http.StatusNoContent)
}
