package auth

import (
	"errors"
	"log/slog"
)

// ErrDenied is wrapped by every refusal of a token.
var ErrDenied = errors.New("access denied")

// Reason says why a token was refused: for our log and metrics, never for the
// client, to whom all refusals look alike.
type Reason string

// The reasons for refusing a token.
const (
	ReasonMissing     Reason = "missing"
	ReasonTooLarge    Reason = "too_large"
	ReasonMalformed   Reason = "malformed"
	ReasonHeader      Reason = "header"
	ReasonUnknownKey  Reason = "unknown_key"
	ReasonAlgorithm   Reason = "algorithm"
	ReasonSignature   Reason = "signature"
	ReasonClaims      Reason = "claims"
	ReasonExpired     Reason = "expired"
	ReasonNotYetValid Reason = "not_yet_valid"
	ReasonIssuer      Reason = "issuer"
	ReasonAudience    Reason = "audience"
	ReasonKeyScope    Reason = "key_scope"
)

// Reasons lists every reason, to resolve metric labels ahead of time.
func Reasons() []Reason {
	return []Reason{
		ReasonMissing, ReasonTooLarge, ReasonMalformed, ReasonHeader, ReasonUnknownKey,
		ReasonAlgorithm, ReasonSignature, ReasonClaims, ReasonExpired, ReasonNotYetValid,
		ReasonIssuer, ReasonAudience, ReasonKeyScope,
	}
}

// DeniedError is a refusal. Its Error text is the same for every reason, so
// that it can be sent to a client; logged as a value it shows everything.
type DeniedError struct {
	Reason Reason
	// Detail says what was wrong, without any part of the token that is secret.
	Detail string
}

// Error returns the constant answer.
func (e *DeniedError) Error() string { return ErrDenied.Error() }

// Unwrap makes errors.Is(err, ErrDenied) hold.
func (e *DeniedError) Unwrap() error { return ErrDenied }

// LogValue logs the reason and the detail.
func (e *DeniedError) LogValue() slog.Value {
	return slog.GroupValue(slog.String("reason", string(e.Reason)), slog.String("detail", e.Detail))
}

// Explain returns the reason and detail of a refusal for a log or for the
// operator's own eyes; for any other error, its text.
func Explain(err error) string {
	if e, ok := errors.AsType[*DeniedError](err); ok {
		return string(e.Reason) + ": " + e.Detail
	}
	return err.Error()
}

func deny(reason Reason, detail string) error {
	return &DeniedError{Reason: reason, Detail: detail}
}
