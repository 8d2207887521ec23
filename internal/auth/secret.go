package auth

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is what a Secret shows in place of its value.
const redacted = "***"

// Secret is a value that must never be seen in a log, an error or a dump: a
// token, a key. However it is formatted or encoded, it shows as "***";
// [Secret.Reveal] is the one way to its content, easy to search for.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns "***".
func (Secret) String() string { return redacted }

// Format writes "***" for every verb, %#v and %x among them.
func (Secret) Format(f fmt.State, _ rune) {
	// A formatter has nowhere to report an error of its State.
	_, _ = io.WriteString(f, redacted)
}

// MarshalText encodes as "***", for JSON and YAML alike.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue logs as "***".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
