package moq

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
)

// CertificateHandler answers GET /certificate.sha256 with the SHA-256 of the leaf
// certificate in hex, from which clients with an http:// URL learn what to
// expect: for development only, since it is fetched in the clear. leaf returns
// the certificate that is in use, in DER.
func CertificateHandler(leaf func() []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		switch r.Method {
		case http.MethodGet, http.MethodHead:
		case http.MethodOptions:
			w.WriteHeader(http.StatusNoContent)
			return
		default:
			w.Header().Set("Allow", "GET, HEAD, OPTIONS")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store") // the certificate changes
		hash := sha256.Sum256(leaf())
		// A client that went away needs no answer.
		_, _ = io.WriteString(w, hex.EncodeToString(hash[:]))
	})
}
